"""Published model versions and the aliases that point at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mos_protocol.names import Digest
from sqlalchemy import Connection, Row, func, insert, select, update

from mos_center.domain.models import ModelVersion, PublishedFile, Solver, VersionConcept
from mos_center.storage.repositories.references import know_blobs
from mos_center.storage.repositories.weights import WEIGHT_COLUMNS, read_weights
from mos_center.storage.tables import (
    aliases,
    bases,
    fusion_concepts,
    fusions,
    model_versions,
    submissions,
    version_files,
)


class SqlModels:
    """Implements `domain.ports.Models`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def names(self, *, after: str | None = None, limit: int) -> tuple[str, ...]:
        query = select(model_versions.c.model).distinct()
        if after is not None:
            query = query.where(model_versions.c.model > after)
        return tuple(self._connection.scalars(query.order_by(model_versions.c.model).limit(limit)))

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        rows = self._connection.execute(
            _VERSIONS.where(model_versions.c.model == model).order_by(
                model_versions.c.version.desc()
            )
        ).all()
        return tuple(self._version(row) for row in rows)

    def get(self, model: str, version: int) -> ModelVersion | None:
        row = self._connection.execute(
            _VERSIONS.where(model_versions.c.model == model, model_versions.c.version == version)
        ).one_or_none()
        return self._version(row) if row else None

    def last_version(self, model: str) -> int:
        highest = self._connection.scalar(
            select(func.max(model_versions.c.version)).where(model_versions.c.model == model)
        )
        return highest or 0

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

    def alias(self, model: str, alias: str) -> int | None:
        return self._connection.scalar(
            select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
        )

    def point(self, model: str, alias: str, version: int) -> None:
        moved = self._connection.execute(
            update(aliases)
            .where(aliases.c.model == model, aliases.c.alias == alias)
            .values(version=version)
        )
        if not moved.rowcount:
            self._connection.execute(
                insert(aliases).values(model=model, alias=alias, version=version)
            )

    def _version(self, row: Row[*tuple[Any, ...]]) -> ModelVersion:
        return ModelVersion(
            model=row.model,
            version=row.version,
            aliases=self._aliases(row.model, row.version),
            base=row.base,
            base_digest=Digest(row.digest),
            concepts=self._concepts(row.fusion),
            solver=Solver(row.solver),
            fusion_id=row.fusion,
            build=Digest(row.build),
            created_at=row.created_at,
            files=self._files(row.model, row.version),
        )

    def _aliases(self, model: str, version: int) -> tuple[str, ...]:
        query = select(aliases.c.alias).where(
            aliases.c.model == model, aliases.c.version == version
        )
        return tuple(self._connection.scalars(query.order_by(aliases.c.alias)))

    def _concepts(self, fusion_id: str) -> tuple[VersionConcept, ...]:
        rows = self._connection.execute(
            select(
                submissions.c.owner,
                submissions.c.name,
                submissions.c.version,
                submissions.c.words,
                *WEIGHT_COLUMNS,
            )
            .join(submissions)
            .where(fusion_concepts.c.fusion == fusion_id)
            .order_by(fusion_concepts.c.position)
        )
        return tuple(
            VersionConcept(
                f"{row.owner}/{row.name}", row.version, read_weights(row), tuple(row.words.split())
            )
            for row in rows
        )

    def _files(self, model: str, version: int) -> tuple[PublishedFile, ...]:
        rows = self._connection.execute(
            select(version_files)
            .where(version_files.c.model == model, version_files.c.version == version)
            .order_by(version_files.c.path)
        )
        return tuple(PublishedFile(row.path, row.size, Digest(row.sha256)) for row in rows)


_VERSIONS = (
    select(
        model_versions.c.model,
        model_versions.c.version,
        model_versions.c.fusion,
        model_versions.c.created_at,
        fusions.c.base,
        fusions.c.solver,
        fusions.c.build,
        bases.c.digest,
    )
    .join(fusions, fusions.c.id == model_versions.c.fusion)
    .join(bases, bases.c.name == fusions.c.base)
)
