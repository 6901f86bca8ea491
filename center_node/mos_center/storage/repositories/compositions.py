"""Compositions and their pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mos_protocol.names import Digest
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from mos_center.domain.compositions import Composition, CompositionState
from mos_center.domain.models import Failure, Progress, StoredFile
from mos_center.domain.states import SubmissionState
from mos_center.storage.repositories.references import insert_missing, know_blobs
from mos_center.storage.tables import (
    composition_pictures,
    compositions,
    fusion_concepts,
    model_versions,
    submissions,
)

_UNFINISHED = [state.value for state in CompositionState if not state.is_finished]


class SqlCompositions:
    """Implements `domain.ports.Compositions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, composition: Composition) -> None:
        self._connection.execute(
            insert(compositions).values(
                id=composition.id,
                model=composition.model,
                version=composition.version,
                scene=composition.scene,
                seeds=list(composition.seeds),
                requested_by=composition.requested_by,
                request_id=composition.request_id,
                created_at=composition.created_at,
                **_standing(composition),
            )
        )

    def update(self, composition: Composition) -> None:
        self._connection.execute(
            update(compositions)
            .where(compositions.c.id == composition.id)
            .values(**_standing(composition))
        )

    def get(self, composition_id: str) -> Composition | None:
        query = select(compositions).where(compositions.c.id == composition_id)
        found = self._read(self._connection.execute(query).all())
        return found[0] if found else None

    def find(
        self, *, viewer: str | None, before: str | None = None, limit: int
    ) -> tuple[Composition, ...]:
        query = select(compositions).order_by(compositions.c.id.desc()).limit(limit)
        if viewer is not None:
            query = query.where(compositions.c.requested_by == viewer)
        if before is not None:
            query = query.where(compositions.c.id < before)
        return self._read(self._connection.execute(query).all())

    def unfinished(self) -> tuple[str, ...]:
        query = select(compositions.c.id).where(compositions.c.state.in_(_UNFINISHED))
        return tuple(self._connection.scalars(query.order_by(compositions.c.id)))

    def waiting(self, member: str) -> int:
        query = select(func.count()).where(
            compositions.c.requested_by == member, compositions.c.state.in_(_UNFINISHED)
        )
        return self._connection.execute(query).scalar_one()

    def add_picture(self, composition_id: str, number: int, picture: StoredFile) -> None:
        know_blobs(self._connection, [picture.sha256])
        row = {
            "composition": composition_id,
            "number": number,
            "sha256": picture.sha256,
            "size": picture.size,
        }
        insert_missing(self._connection, composition_pictures, [row])

    def releasable(self, before: datetime | None) -> tuple[str, ...]:
        its_version = (model_versions.c.model == compositions.c.model) & (
            model_versions.c.version == compositions.c.version
        )
        withdrawn = (
            select(fusion_concepts.c.fusion)
            .join(submissions)
            .where(submissions.c.state == SubmissionState.WITHDRAWN)
        )
        reasons: list[ColumnElement[bool]] = [
            model_versions.c.tombstoned_at.is_not(None),
            model_versions.c.fusion.in_(withdrawn),
        ]
        if before is not None:
            reasons.append(compositions.c.finished_at < before)
        query = (
            select(compositions.c.id)
            .join(model_versions, its_version)
            .where(
                compositions.c.released_at.is_(None),
                compositions.c.finished_at.is_not(None),
                or_(*reasons),
            )
        )
        return tuple(self._connection.scalars(query.order_by(compositions.c.id)))

    def forget_pictures(self, composition_id: str) -> tuple[Digest, ...]:
        own = composition_pictures.c.composition == composition_id
        digests = self._connection.scalars(select(composition_pictures.c.sha256).where(own)).all()
        self._connection.execute(delete(composition_pictures).where(own))
        return tuple(Digest(sha256) for sha256 in digests)

    def _read(self, rows: Sequence[Row[Any]]) -> tuple[Composition, ...]:
        """The compositions with their pictures, in the order of the rows."""
        ids = [row.id for row in rows]
        query = select(composition_pictures).where(composition_pictures.c.composition.in_(ids))
        pictures: dict[str, dict[int, StoredFile]] = defaultdict(dict)
        for row in self._connection.execute(query.order_by(composition_pictures.c.number)):
            pictures[row.composition][row.number] = StoredFile(Digest(row.sha256), row.size)
        return tuple(_composition(row, pictures[row.id]) for row in rows)


def _standing(composition: Composition) -> dict[str, object]:
    """What changes while it is worked on."""
    return {
        "state": composition.state,
        "done": composition.progress.done,
        "total": composition.progress.total,
        "message": composition.progress.message,
        "error": None if composition.error is None else asdict(composition.error),
        "started_at": composition.started_at,
        "finished_at": composition.finished_at,
        "released_at": composition.released_at,
    }


def _composition(row: Row[Any], pictures: dict[int, StoredFile]) -> Composition:
    return Composition(
        id=row.id,
        model=row.model,
        version=row.version,
        scene=row.scene,
        seeds=tuple(row.seeds),
        state=CompositionState(row.state),
        requested_by=row.requested_by,
        created_at=row.created_at,
        request_id=row.request_id,
        progress=Progress(row.done, row.total, row.message),
        error=None if row.error is None else Failure(**row.error),
        started_at=row.started_at,
        finished_at=row.finished_at,
        released_at=row.released_at,
        pictures=pictures,
    )
