"""Evaluations of model versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mos_protocol.names import Digest
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    func,
    insert,
    null,
    select,
    update,
)

from mos_center.domain.evaluations import Evaluation, EvaluationRequest, EvaluationState
from mos_center.domain.models import Failure, Progress, StoredFile
from mos_center.storage.repositories.references import insert_missing, know_blobs
from mos_center.storage.tables import evaluation_grids, evaluations

_UNFINISHED = [state.value for state in EvaluationState if not state.is_finished]
# Of many concepts a result is long: lists do without.
_LISTED = [
    null().label("result") if column.name == "result" else column for column in evaluations.c
]


class SqlEvaluations:
    """Implements `domain.ports.Evaluations`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, evaluation: Evaluation) -> None:
        self._connection.execute(
            insert(evaluations).values(
                id=evaluation.id,
                model=evaluation.model,
                version=evaluation.version,
                prompts=evaluation.request.to_json(),
                seeds=evaluation.request.seeds,
                requested_by=evaluation.requested_by,
                request_id=evaluation.request_id,
                created_at=evaluation.created_at,
                **_standing(evaluation),
            )
        )

    def update(self, evaluation: Evaluation) -> None:
        self._connection.execute(
            update(evaluations)
            .where(evaluations.c.id == evaluation.id)
            .values(**_standing(evaluation))
        )

    def get(self, evaluation_id: str) -> Evaluation | None:
        query = select(evaluations).where(evaluations.c.id == evaluation_id)
        found = self._read(self._connection.execute(query).all())
        return found[0] if found else None

    def of_version(
        self, model: str, version: int, *, before: str | None = None, limit: int
    ) -> tuple[Evaluation, ...]:
        query = select(*_LISTED).where(_is_of(model, version))
        if before is not None:
            query = query.where(evaluations.c.id < before)
        query = query.order_by(evaluations.c.id.desc()).limit(limit)
        return self._read(self._connection.execute(query).all())

    def newest(self, model: str, version: int, *states: EvaluationState) -> Evaluation | None:
        query = select(evaluations).where(_is_of(model, version))
        if states:
            query = query.where(evaluations.c.state.in_(states))
        query = query.order_by(evaluations.c.id.desc()).limit(1)
        found = self._read(self._connection.execute(query).all())
        return found[0] if found else None

    def unfinished(self) -> tuple[str, ...]:
        query = select(evaluations.c.id).where(evaluations.c.state.in_(_UNFINISHED))
        return tuple(self._connection.scalars(query.order_by(evaluations.c.id)))

    def waiting(self, member: str) -> int:
        query = select(func.count()).select_from(evaluations)
        return int(
            self._connection.scalar(
                query.where(
                    evaluations.c.state.in_(_UNFINISHED), evaluations.c.requested_by == member
                )
            )
            or 0
        )

    def add_grid(
        self, evaluation_id: str, number: int, submission_id: str, grid: StoredFile
    ) -> None:
        know_blobs(self._connection, [grid.sha256])
        row = {
            "evaluation": evaluation_id,
            "number": number,
            "submission": submission_id,
            "sha256": grid.sha256,
            "size": grid.size,
        }
        insert_missing(self._connection, evaluation_grids, [row])

    def forget_grids_of(self, model: str, version: int) -> tuple[Digest, ...]:
        own = select(evaluations.c.id).where(_is_of(model, version))
        return self._forget(evaluation_grids.c.evaluation.in_(own))

    def forget_grids_with(self, submission_id: str) -> tuple[Digest, ...]:
        return self._forget(evaluation_grids.c.submission == submission_id)

    def _forget(self, condition: ColumnElement[bool]) -> tuple[Digest, ...]:
        query = select(evaluation_grids.c.sha256).where(condition)
        digests = self._connection.scalars(query).all()
        self._connection.execute(delete(evaluation_grids).where(condition))
        return tuple(Digest(sha256) for sha256 in digests)

    def _read(self, rows: Sequence[Row[Any]]) -> tuple[Evaluation, ...]:
        """The evaluations with their grids, in the order of the rows."""
        ids = [row.id for row in rows]
        query = select(evaluation_grids).where(evaluation_grids.c.evaluation.in_(ids))
        grids: dict[str, dict[int, StoredFile]] = defaultdict(dict)
        for row in self._connection.execute(query.order_by(evaluation_grids.c.number)):
            grids[row.evaluation][row.number] = StoredFile(Digest(row.sha256), row.size)
        return tuple(_evaluation(row, grids[row.id]) for row in rows)


def _is_of(model: str, version: int) -> ColumnElement[bool]:
    return and_(evaluations.c.model == model, evaluations.c.version == version)


def _standing(evaluation: Evaluation) -> dict[str, object]:
    """What changes while it is worked on."""
    return {
        "state": evaluation.state,
        "done": evaluation.progress.done,
        "total": evaluation.progress.total,
        "message": evaluation.progress.message,
        "error": None if evaluation.error is None else asdict(evaluation.error),
        "started_at": evaluation.started_at,
        "finished_at": evaluation.finished_at,
        "result": None if evaluation.result is None else dict(evaluation.result),
    }


def _evaluation(row: Row[Any], grids: dict[int, StoredFile]) -> Evaluation:
    return Evaluation(
        id=row.id,
        model=row.model,
        version=row.version,
        request=EvaluationRequest(
            row.prompts.get("set", ""), tuple(row.prompts.get("texts", ())), row.seeds
        ),
        state=EvaluationState(row.state),
        requested_by=row.requested_by,
        created_at=row.created_at,
        request_id=row.request_id,
        progress=Progress(row.done, row.total, row.message),
        error=None if row.error is None else Failure(**row.error),
        started_at=row.started_at,
        finished_at=row.finished_at,
        result=row.result,
        grids=grids,
    )
