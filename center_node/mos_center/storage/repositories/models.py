"""Published model versions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from mos_protocol.names import Digest
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from mos_center.domain.lineage import VersionRef
from mos_center.domain.models import ModelVersion
from mos_center.domain.queries import ModelQuery, Order
from mos_center.storage.repositories.model_search import conditions, has_better
from mos_center.storage.repositories.readable import fusion_is_readable
from mos_center.storage.repositories.references import insert_missing, know_blobs
from mos_center.storage.repositories.version_rows import VERSIONS, read_versions
from mos_center.storage.tables import (
    aliases,
    fusion_concepts,
    fusions,
    model_versions,
    models,
    version_files,
)

# A tombstoned version counts as the newest one only where there is no other.
_NEWEST_FIRST = (
    case((model_versions.c.tombstoned_at.is_(None), 0), else_=1),
    model_versions.c.version.desc(),
)


class SqlModels:
    """Implements `domain.ports.Models`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def names(self, *, viewer: str | None, after: str | None = None, limit: int) -> tuple[str, ...]:
        query = (
            select(model_versions.c.model)
            .join(fusions, fusions.c.id == model_versions.c.fusion)
            .where(fusion_is_readable(viewer))
            .distinct()
        )
        if after is not None:
            query = query.where(model_versions.c.model > after)
        return tuple(self._connection.scalars(query.order_by(model_versions.c.model).limit(limit)))

    def owner(self, model: str) -> str | None:
        found: str | None = self._connection.scalar(
            select(models.c.owner).where(models.c.name == model)
        )
        return found

    def claim(self, model: str, owner: str, at: datetime) -> None:
        row = {"name": model, "owner": owner, "created_at": at}
        insert_missing(self._connection, models, [row])

    def find(
        self, query: ModelQuery, *, viewer: str | None, after: str | None = None, limit: int
    ) -> tuple[ModelVersion, ...]:
        version, fusion = model_versions, fusions
        fitting = (fusion_is_readable(viewer), *conditions(query, version, fusion))
        found = VERSIONS.where(*fitting, ~has_better(query, viewer))
        by_name = query.order is Order.NAME
        # Ids of fusions sort by the time of the request.
        order = version.c.model.asc() if by_name else version.c.fusion.desc()
        if after is not None and by_name:
            found = found.where(version.c.model > after)
        elif after is not None:
            last = self._read(found.where(version.c.model == after))
            found = found.where(version.c.fusion < (last[0].fusion_id if last else ""))
        return self._read(found.order_by(order).limit(limit))

    def versions(
        self,
        model: str,
        *,
        viewer: str | None,
        before: int | None = None,
        limit: int | None = None,
    ) -> tuple[ModelVersion, ...]:
        query = VERSIONS.where(model_versions.c.model == model, fusion_is_readable(viewer))
        if before is not None:
            query = query.where(model_versions.c.version < before)
        return self._read(query.order_by(model_versions.c.version.desc()).limit(limit))

    def newest(self, models: Iterable[str], *, viewer: str | None) -> dict[str, int]:
        named = model_versions.c.model.in_(sorted(set(models)))
        ranked = _ranked(viewer, named).cte()
        rows = self._connection.execute(
            select(ranked.c.model, ranked.c.version).where(ranked.c.rank == 1)
        )
        return {row.model: row.version for row in rows}

    def predecessor(self, model: str, version: int, *, viewer: str | None) -> int | None:
        number = model_versions.c.version
        return self._next(model, number < version, number.desc(), viewer)

    def successor(self, model: str, version: int, *, viewer: str | None) -> int | None:
        number = model_versions.c.version
        return self._next(model, number > version, number.asc(), viewer)

    def get(self, model: str, version: int, *, viewer: str | None = None) -> ModelVersion | None:
        found = self._read(VERSIONS.where(_is(model, version), fusion_is_readable(viewer)))
        return found[0] if found else None

    def report(
        self, model: str, version: int, entries: Collection[str] | None = None
    ) -> dict[str, object]:
        whole = model_versions.c.report
        columns = [whole] if entries is None else [whole[name].label(name) for name in entries]
        row = self._connection.execute(select(*columns).where(_is(model, version))).one_or_none()
        if row is None:
            return {}
        if entries is None:
            return dict(row.report)
        return {name: value for name, value in row._mapping.items() if value is not None}

    def last_version(self, model: str) -> int:
        highest = self._connection.scalar(
            select(func.max(model_versions.c.version)).where(model_versions.c.model == model)
        )
        return highest or 0

    def by_commit(self, model: str, commit: str) -> int | None:
        found: int | None = self._connection.scalar(
            select(func.max(model_versions.c.version))
            .join(fusions, fusions.c.id == model_versions.c.fusion)
            .where(model_versions.c.model == model, fusions.c.build.startswith(commit))
        )
        return found

    def add(self, version: ModelVersion, report: Mapping[str, object]) -> None:
        self._connection.execute(
            insert(model_versions).values(
                model=version.model,
                version=version.version,
                fusion=version.fusion_id,
                report=dict(report),
                created_at=version.created_at,
            )
        )
        know_blobs(self._connection, [file.sha256 for file in version.files])
        self._connection.execute(
            insert(version_files),
            [
                {
                    "model": version.model,
                    "version": version.version,
                    "path": file.path,
                    "sha256": file.sha256,
                    "size": file.size,
                }
                for file in version.files
            ],
        )

    def with_concept(
        self, submission_id: str, *, viewer: str | None, before: str | None = None, limit: int
    ) -> tuple[ModelVersion, ...]:
        containing = select(fusion_concepts.c.fusion).where(
            fusion_concepts.c.submission == submission_id
        )
        query = VERSIONS.where(
            model_versions.c.fusion.in_(containing), fusion_is_readable(viewer)
        ).order_by(model_versions.c.fusion.desc())
        if before is not None:
            query = query.where(model_versions.c.fusion < before)
        return self._read(query.limit(limit))

    def tombstone(self, model: str, version: int, at: datetime, reason: str) -> None:
        self._connection.execute(
            update(model_versions)
            .where(_is(model, version))
            .values(tombstoned_at=at, tombstone_reason=reason)
        )

    def expirable(self, before: datetime) -> tuple[VersionRef, ...]:
        newer = model_versions.alias("newer")
        superseded = exists().where(
            newer.c.model == model_versions.c.model,
            newer.c.version > model_versions.c.version,
            newer.c.tombstoned_at.is_(None),
        )
        named = exists().where(
            aliases.c.model == model_versions.c.model, aliases.c.version == model_versions.c.version
        )
        return self._refs(
            model_versions.c.created_at < before,
            model_versions.c.tombstoned_at.is_(None),
            superseded,
            ~named,
        )

    def tombstoned(self, before: datetime) -> tuple[VersionRef, ...]:
        holding = exists().where(
            version_files.c.model == model_versions.c.model,
            version_files.c.version == model_versions.c.version,
        )
        return self._refs(model_versions.c.tombstoned_at < before, holding)

    def forget_files(self, model: str, version: int) -> tuple[Digest, ...]:
        mine = and_(version_files.c.model == model, version_files.c.version == version)
        digests = self._connection.scalars(select(version_files.c.sha256).where(mine)).all()
        self._connection.execute(delete(version_files).where(mine))
        return tuple(Digest(sha256) for sha256 in digests)

    def _next(
        self,
        model: str,
        reached: ColumnElement[bool],
        order: ColumnElement[int],
        viewer: str | None,
    ) -> int | None:
        """The first version in this order that is reached and that `viewer` may read."""
        found: int | None = self._connection.scalar(
            select(model_versions.c.version)
            .join(fusions, fusions.c.id == model_versions.c.fusion)
            .where(model_versions.c.model == model, reached, fusion_is_readable(viewer))
            .order_by(order)
            .limit(1)
        )
        return found

    def _read(self, query: Select[*tuple[object, ...]]) -> tuple[ModelVersion, ...]:
        return read_versions(self._connection, self._connection.execute(query).all())

    def _refs(self, *conditions: ColumnElement[bool]) -> tuple[VersionRef, ...]:
        query = select(model_versions.c.model, model_versions.c.version).where(*conditions)
        rows = self._connection.execute(
            query.order_by(model_versions.c.model, model_versions.c.version)
        )
        return tuple(VersionRef(row.model, row.version) for row in rows)


def _is(model: str, version: int) -> ColumnElement[bool]:
    return and_(model_versions.c.model == model, model_versions.c.version == version)


def _ranked(viewer: str | None, *conditions: ColumnElement[bool]) -> Select[*tuple[object, ...]]:
    """The versions that `viewer` may read, numbered per model from the newest one."""
    rank = func.row_number().over(partition_by=model_versions.c.model, order_by=_NEWEST_FIRST)
    return (
        select(
            model_versions.c.model,
            model_versions.c.version,
            model_versions.c.fusion,
            rank.label("rank"),
        )
        .join(fusions, fusions.c.id == model_versions.c.fusion)
        .where(fusion_is_readable(viewer), *conditions)
    )
