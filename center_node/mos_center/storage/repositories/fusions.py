"""Requested fusions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from mos_protocol.errors import Conflict
from mos_protocol.layer_map import Part
from mos_protocol.names import Digest
from sqlalchemy import ColumnElement, Connection, Row, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mos_center.domain.jobs import Job, fusion_job
from mos_center.domain.models import (
    Export,
    Failure,
    Fusion,
    FusionConcept,
    Priority,
    Progress,
    Solver,
)
from mos_center.domain.queries import FusionQuery
from mos_center.domain.states import FusionState
from mos_center.storage.repositories.readable import fusion_is_readable
from mos_center.storage.repositories.weights import WEIGHT_COLUMNS, read_weights, weight_values
from mos_center.storage.tables import fusion_concepts, fusions, submissions

Number = TypeVar("Number", int, float)

# The order in which queued fusions are run.
_QUEUED_AT = func.coalesce(fusions.c.queued_at, fusions.c.created_at)
_RANK = case(
    {Priority.HIGH.value: 0, Priority.NORMAL.value: 1, Priority.LOW.value: 2},
    value=fusions.c.priority,
    else_=1,
)
ALIVE = (FusionState.QUEUED, FusionState.RUNNING, FusionState.PUBLISHED)


class SqlFusions:
    """Implements `domain.ports.Fusions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, fusion: Fusion) -> None:
        try:
            with self._connection.begin_nested():
                self._insert(fusion)
        except IntegrityError:
            raise Conflict(
                f"The build {fusion.build[:12]}… of model {fusion.model} is already requested.",
                hint="Ask for the fusions of this model.",
            ) from None
        self._connection.execute(
            insert(fusion_concepts),
            [
                {
                    "fusion": fusion.id,
                    "position": position,
                    "submission": concept.submission_id,
                    **weight_values(concept.weights),
                }
                for position, concept in enumerate(fusion.concepts)
            ],
        )

    def _insert(self, fusion: Fusion) -> None:
        # Nested: PostgreSQL would give up the whole transaction with the failed statement.
        with self._connection.begin_nested():
            self._connection.execute(
                insert(fusions).values(
                    id=fusion.id,
                    model=fusion.model,
                    base=fusion.base,
                    solver=fusion.solver,
                    prior_weight=fusion.prior_weight,
                    ridge=_plain(fusion.ridge),
                    lbfgs_steps=_plain(fusion.lbfgs_steps),
                    refine_rounds=fusion.refine_rounds,
                    exports=list(fusion.exports),
                    build=fusion.build,
                    created_at=fusion.created_at,
                    requested_by=fusion.requested_by,
                    request_id=fusion.request_id,
                    engine=fusion.engine,
                    refusion_of=fusion.refusion_of,
                    previews=fusion.previews,
                    **_moving(fusion),
                )
            )

    def update(self, fusion: Fusion) -> None:
        self._connection.execute(
            update(fusions).where(fusions.c.id == fusion.id).values(**_moving(fusion))
        )

    def get(self, fusion_id: str) -> Fusion | None:
        return self._one(fusions.c.id == fusion_id)

    def by_build(self, model: str, build: Digest) -> Fusion | None:
        return self._one(
            (fusions.c.model == model) & (fusions.c.build == build) & fusions.c.state.in_(ALIVE)
        )

    def is_readable(self, fusion_id: str, viewer: str | None) -> bool:
        query = select(fusions.c.id).where(fusions.c.id == fusion_id, fusion_is_readable(viewer))
        return self._connection.scalar(query) is not None

    def find(
        self,
        query: FusionQuery,
        *,
        viewer: str | None,
        before: str | None = None,
        limit: int,
    ) -> tuple[Fusion, ...]:
        found = select(fusions).where(*_conditions(query), fusion_is_readable(viewer))
        if before is not None:
            found = found.where(fusions.c.id < before)
        rows = self._connection.execute(found.order_by(fusions.c.id.desc()).limit(limit)).all()
        concepts = self._concepts([row.id for row in rows])
        return tuple(_fusion(row, concepts[row.id]) for row in rows)

    def jobs(self, states: Iterable[FusionState]) -> tuple[Job, ...]:
        query = select(fusions.c.id, fusions.c.generation, fusions.c.priority).where(
            fusions.c.state.in_(sorted(states))
        )
        rows = self._connection.execute(query.order_by(_QUEUED_AT, fusions.c.id))
        return tuple(
            Job(fusion_job(row.id, row.generation), Priority(row.priority)) for row in rows
        )

    def queue_positions(self, ids: Collection[str]) -> dict[str, int]:
        place = func.row_number().over(order_by=(_RANK, _QUEUED_AT, fusions.c.id))
        queue = (
            select(fusions.c.id, place.label("place"))
            .where(fusions.c.state == FusionState.QUEUED)
            .subquery()
        )
        rows = self._connection.execute(select(queue).where(queue.c.id.in_(sorted(ids))))
        return {row.id: row.place for row in rows}

    def _one(self, condition: ColumnElement[bool]) -> Fusion | None:
        row = self._connection.execute(select(fusions).where(condition)).one_or_none()
        return _fusion(row, self._concepts([row.id])[row.id]) if row else None

    def _concepts(self, ids: list[str]) -> dict[str, tuple[FusionConcept, ...]]:
        if not ids:
            return {}
        rows = self._connection.execute(
            select(
                fusion_concepts.c.fusion,
                *WEIGHT_COLUMNS,
                submissions.c.id,
                submissions.c.owner,
                submissions.c.name,
                submissions.c.version,
            )
            .join(submissions)
            .where(fusion_concepts.c.fusion.in_(ids))
            .order_by(fusion_concepts.c.fusion, fusion_concepts.c.position)
        )
        found: dict[str, tuple[FusionConcept, ...]] = dict.fromkeys(ids, ())
        for row in rows:
            name = f"{row.owner}/{row.name}"
            concept = FusionConcept(row.id, name, row.version, read_weights(row))
            found[row.fusion] += (concept,)
        return found


def _conditions(query: FusionQuery) -> list[ColumnElement[bool]]:
    equal = {fusions.c.base: query.base, fusions.c.requested_by: query.requested_by}
    found = [column == value for column, value in equal.items() if value is not None]
    if query.states != frozenset(FusionState):
        found.append(fusions.c.state.in_(sorted(query.states)))
    if query.text:
        found.append(fusions.c.model.icontains(query.text, autoescape=True))
    if query.concept is not None:
        owner, _, name = query.concept.partition("/")
        containing = (
            select(fusion_concepts.c.fusion)
            .join(submissions)
            .where(submissions.c.owner == owner, submissions.c.name == name)
        )
        found.append(fusions.c.id.in_(containing))
    return found


def _moving(fusion: Fusion) -> dict[str, object]:
    return {
        "state": fusion.state,
        "done": fusion.progress.done,
        "total": fusion.progress.total,
        "message": fusion.progress.message,
        "error": asdict(fusion.error) if fusion.error else None,
        "model_version": fusion.model_version,
        "started_at": fusion.started_at,
        "finished_at": fusion.finished_at,
        "priority": fusion.priority,
        "attempts": fusion.attempts,
        "generation": fusion.generation,
        "deaths": fusion.deaths,
        "queued_at": fusion.queued_at,
    }


def _plain(by_part: Mapping[Part, Number] | None) -> dict[str, Number] | None:
    return None if by_part is None else {part.value: value for part, value in by_part.items()}


def _by_part(plain: Mapping[str, Number] | None) -> dict[Part, Number] | None:
    return None if plain is None else {Part(part): value for part, value in plain.items()}


def _fusion(row: Row[*tuple[Any, ...]], concepts: tuple[FusionConcept, ...]) -> Fusion:
    return Fusion(
        id=row.id,
        model=row.model,
        base=row.base,
        concepts=concepts,
        solver=Solver(row.solver),
        prior_weight=row.prior_weight,
        ridge=_by_part(row.ridge),
        lbfgs_steps=_by_part(row.lbfgs_steps),
        refine_rounds=row.refine_rounds,
        exports=tuple(Export(name) for name in row.exports),
        build=Digest(row.build),
        state=FusionState(row.state),
        created_at=row.created_at,
        requested_by=row.requested_by,
        priority=Priority(row.priority),
        request_id=row.request_id,
        progress=Progress(row.done, row.total, row.message),
        error=Failure(**row.error) if row.error else None,
        model_version=row.model_version,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempts=row.attempts,
        generation=row.generation,
        deaths=row.deaths,
        queued_at=row.queued_at,
        engine=row.engine,
        refusion_of=row.refusion_of,
        previews=row.previews,
    )
