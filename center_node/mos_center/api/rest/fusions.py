"""Fusions: requesting, following and cancelling them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from mos_protocol.layer_map import Part
from mos_protocol.names import CONCEPT_PATTERN, SLUG_PATTERN
from pydantic import Field

from mos_center.api.rest.context import (
    MAX_VERSION,
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Filter,
    Limit,
    Page,
    Stopping,
    needs_token,
    problems,
)
from mos_center.api.rest.weights import ShownWeight, Weight, read_weight, show_weight
from mos_center.domain import models
from mos_center.domain.fuse_methods import solver_of
from mos_center.domain.queries import FusionQuery
from mos_center.domain.solving import MAX_REFINE_ROUNDS, MAX_STEPS
from mos_center.domain.states import FusionState, is_finished
from mos_center.service.following import changes
from mos_center.service.fusion_requests import MAX_CONCEPTS, FusionRequest, WantedConcept

router = APIRouter(prefix="/v1/fusions", tags=["fusions"], dependencies=[needs_token])

Slug = Annotated[str, Field(pattern=rf"^{SLUG_PATTERN}$")]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]


class WantedConceptBody(Body):
    """A concept to fuse; without `version` the newest approved one."""

    name: str = Field(pattern=CONCEPT_PATTERN)
    version: int | None = Field(default=None, ge=1, le=MAX_VERSION)
    weight: Weight = 1.0


class FusionBody(Body):
    """What to fuse, into which model; what is null or left out is the center's choice.

    `fuse_method` is `gradient` unless `solver` belongs to another one; without `solver` it is the
    method's usual one. `ridge` and `lbfgs_steps` are by part, parts that are left out keep their
    default. `exports` are formats of other tools that the version is published in as well.
    `previews` says whether the model is sampled, for pictures beside the concepts' own.
    """

    model: Slug
    base: Slug
    concepts: list[WantedConceptBody] = Field(min_length=1, max_length=MAX_CONCEPTS)
    fuse_method: models.FuseMethod | None = None
    solver: models.Solver | None = None
    prior_weight: NotNegative | None = None
    ridge: dict[Part, NotNegative] | None = None
    lbfgs_steps: dict[Part, Steps] | None = None
    refine_rounds: int = Field(default=0, ge=0, le=MAX_REFINE_ROUNDS)
    exports: list[models.Export] = Field(default=[], max_length=len(models.Export))
    previews: bool | None = None
    priority: models.Priority = models.Priority.NORMAL

    def request(self) -> FusionRequest:
        return FusionRequest(
            model=self.model,
            base=self.base,
            concepts=[
                WantedConcept(item.name, item.version, read_weight(item.weight))
                for item in self.concepts
            ],
            solver=solver_of(self.fuse_method, self.solver),
            prior_weight=self.prior_weight,
            ridge=self.ridge,
            lbfgs_steps=self.lbfgs_steps,
            refine_rounds=self.refine_rounds,
            exports=self.exports,
            previews=self.previews,
            priority=self.priority,
        )


class FusedConcept(Answer):
    name: str
    version: int
    weight: ShownWeight


class Progress(Answer):
    done: int
    total: int
    message: str


class Failure(Answer):
    code: str
    message: str
    hint: str


class Fusion(Answer):
    """A requested fusion; `model_version` is there once it is published.

    `ridge` and `lbfgs_steps` are null where the solver has no use for them. `queue_position` counts
    from 1 while it is queued, `seconds_left` is an estimate while it runs. `attempts` is how often
    a worker began with it. `previews` is null where the center decides.
    """

    id: str
    model: str
    base: str
    concepts: list[FusedConcept]
    fuse_method: models.FuseMethod
    solver: models.Solver
    prior_weight: float
    ridge: dict[Part, float] | None
    lbfgs_steps: dict[Part, int] | None
    refine_rounds: int
    exports: list[models.Export]
    previews: bool | None
    priority: models.Priority
    requested_by: str
    attempts: int
    queue_position: int | None
    seconds_left: int | None
    build: str
    state: FusionState
    progress: Progress
    error: Failure | None
    model_version: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, fusion: models.Fusion) -> Self:
        progress, error = fusion.progress, fusion.error
        return cls(
            id=fusion.id,
            model=fusion.model,
            base=fusion.base,
            concepts=[
                FusedConcept(name=item.name, version=item.version, weight=show_weight(item.weights))
                for item in fusion.concepts
            ],
            fuse_method=fusion.solver.method,
            solver=fusion.solver,
            prior_weight=fusion.prior_weight,
            ridge=None if fusion.ridge is None else dict(fusion.ridge),
            lbfgs_steps=None if fusion.lbfgs_steps is None else dict(fusion.lbfgs_steps),
            refine_rounds=fusion.refine_rounds,
            exports=list(fusion.exports),
            previews=fusion.previews,
            priority=fusion.priority,
            requested_by=fusion.requested_by,
            attempts=fusion.attempts,
            queue_position=fusion.queue_position,
            seconds_left=fusion.seconds_left(datetime.now(UTC)),
            build=fusion.build,
            state=fusion.state,
            progress=Progress(done=progress.done, total=progress.total, message=progress.message),
            error=(
                Failure(code=error.code, message=error.message, hint=error.hint) if error else None
            ),
            model_version=fusion.model_version,
            created_at=fusion.created_at,
            started_at=fusion.started_at,
            finished_at=fusion.finished_at,
        )


@router.post(
    "",
    status_code=202,
    responses=problems(403, 404, 409, 410)
    | {200: {"model": Fusion, "description": "This build is known: here is its fusion"}},
)
def request_fusion(
    body: FusionBody,
    response: Response,
    center: CenterHere,
    caller: Caller,
) -> Fusion:
    """Request a fusion. The same request is fused once, unless that failed or was cancelled."""
    fusion, made = center.fusions.request(body.request(), caller=caller)
    if not made:
        response.status_code = 200
    return Fusion.of(fusion)


@router.get("", responses=problems())
def list_fusions(
    center: CenterHere,
    caller: Caller,
    state: FusionState | None = None,
    q: Filter = None,
    base: Filter = None,
    requested_by: Filter = None,
    concept: Annotated[Filter, Query(description="owner/name")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Fusion]:
    """Fusions, newest first, of those that fit; `q` is found in the model's name."""
    states = frozenset([state]) if state else frozenset(FusionState)
    query = FusionQuery(q, base, requested_by, concept, states)
    found = center.fusions.find(query, caller=caller, before=cursor, limit=limit)
    return Page(
        items=[Fusion.of(item) for item in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/{fusion_id}", responses=problems(404))
def get_fusion(fusion_id: str, center: CenterHere, caller: Caller) -> Fusion:
    """One fusion."""
    return Fusion.of(center.fusions.get(fusion_id, caller=caller))


@router.post("/{fusion_id}/cancel", responses=problems(404, 409))
def cancel_fusion(fusion_id: str, center: CenterHere, caller: Caller) -> Fusion:
    """Cancel it; a block that is being fused is finished first."""
    return Fusion.of(center.fusions.cancel(fusion_id, caller))


@router.post("/{fusion_id}/retry", status_code=202, responses=problems(403, 404, 409))
def retry_fusion(fusion_id: str, center: CenterHere, caller: Caller) -> Fusion:
    """Queue a failed one again; it starts anew."""
    return Fusion.of(center.fusions.retry(fusion_id, caller))


@router.get(
    "/{fusion_id}/events",
    response_class=StreamingResponse,
    responses=problems(404)
    | {
        200: {
            "description": "Server-sent events: a Fusion whenever it changes, until it is final",
            "content": {"text/event-stream": {}},
        }
    },
)
def fusion_events(
    fusion_id: str, center: CenterHere, caller: Caller, stopping: Stopping
) -> StreamingResponse:
    """Follow a fusion."""
    center.fusions.get(fusion_id, caller=caller)

    async def events() -> AsyncIterator[str]:
        states = changes(
            lambda: center.fusions.get(fusion_id, caller=caller),
            lambda f: is_finished(f.state),
            stopping,
        )
        async for fusion in states:
            if fusion is None:
                yield ": still here\n\n"
            else:
                yield f"data: {Fusion.of(fusion).model_dump_json()}\n\n"

    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )
