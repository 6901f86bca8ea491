"""Evaluations of published versions: asking for one, following it, its figures and pictures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from mos_center.api.rest.context import (
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Name,
    Page,
    needs_token,
    problems,
)
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.api.rest.fusions import Failure, Progress
from mos_center.domain import evaluations
from mos_center.domain.evaluations import (
    DEFAULT_SEEDS,
    LEAST_SEEDS,
    MOST_PROMPT_CHARS,
    MOST_PROMPTS,
    MOST_SEEDS,
    SET_PATTERN,
    EvaluationRequest,
    EvaluationState,
)

router = APIRouter(prefix="/v1", tags=["evaluations"], dependencies=[needs_token])

Text = Annotated[str, Field(min_length=1, max_length=MOST_PROMPT_CHARS)]
Number = Annotated[int, Path(ge=0, le=10_000)]


class EvaluationBody(Body):
    """What is sampled of every concept: each prompt once per seed, 1 to `seeds`.

    `prompts` names a set that the center knows; `texts` are prompts of your own, with `<TOK>` where
    the concept stands. Without either, the concept's class word chooses.
    """

    prompts: str | None = Field(default=None, pattern=SET_PATTERN)
    texts: list[Text] = Field(default=[], max_length=MOST_PROMPTS)
    seeds: int = Field(default=DEFAULT_SEEDS, ge=LEAST_SEEDS, le=MOST_SEEDS)

    def request(self) -> EvaluationRequest:
        return EvaluationRequest(self.prompts or "", tuple(self.texts), self.seeds)


class Evaluation(Answer):
    """One evaluation of a version; `progress` counts pictures.

    `result` is null until it is done, and in lists. `grids` are the places of the concepts that
    there is a picture of. `seconds_left` is an estimate while it runs.
    """

    id: str
    model: str
    version: int
    prompts: str | None
    texts: list[str]
    seeds: int
    state: EvaluationState
    progress: Progress
    seconds_left: int | None
    error: Failure | None
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None
    grids: list[int]

    @classmethod
    def of(cls, one: evaluations.Evaluation) -> Self:
        progress, error = one.progress, one.error
        return cls(
            id=one.id,
            model=one.model,
            version=one.version,
            prompts=one.request.prompts or None,
            texts=list(one.request.texts),
            seeds=one.request.seeds,
            state=one.state,
            progress=Progress(done=progress.done, total=progress.total, message=progress.message),
            seconds_left=one.seconds_left(datetime.now(UTC)),
            error=(
                Failure(code=error.code, message=error.message, hint=error.hint) if error else None
            ),
            requested_by=one.requested_by,
            created_at=one.created_at,
            started_at=one.started_at,
            finished_at=one.finished_at,
            result=None if one.result is None else dict(one.result),
            grids=sorted(one.grids or ()),
        )


@router.post(
    "/models/{name}/{revision}/evaluations",
    status_code=202,
    responses=problems(404, 409, 410)
    | {200: {"model": Evaluation, "description": "This is under way already: here it is"}},
)
def request_evaluation(
    name: Name,
    revision: Name,
    body: EvaluationBody,
    response: Response,
    center: CenterHere,
    caller: Caller,
) -> Evaluation:
    """Have a worker evaluate the version: one at a time per version."""
    found, made = center.evaluations.request(name, revision, body.request(), caller=caller)
    if not made:
        response.status_code = 200
    return Evaluation.of(found)


@router.get("/models/{name}/{revision}/evaluations", responses=problems(404))
def list_evaluations(
    name: Name,
    revision: Name,
    center: CenterHere,
    caller: Caller,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Evaluation]:
    """The version's evaluations, newest first, without their results."""
    found = center.evaluations.of_version(name, revision, caller=caller, before=cursor, limit=limit)
    return Page(
        items=[Evaluation.of(one) for one in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/evaluations/{evaluation_id}", responses=problems(404))
def get_evaluation(evaluation_id: Name, center: CenterHere, caller: Caller) -> Evaluation:
    """One evaluation with its result; `docs/center-evaluation.md` says what is in that."""
    return Evaluation.of(center.evaluations.get(evaluation_id, caller=caller))


@router.post("/evaluations/{evaluation_id}/cancel", responses=problems(404, 409))
def cancel_evaluation(evaluation_id: Name, center: CenterHere, caller: Caller) -> Evaluation:
    """Cancel it; the pictures that are being made are finished first."""
    return Evaluation.of(center.evaluations.cancel(evaluation_id, caller=caller))


@router.get(
    "/evaluations/{evaluation_id}/grids/{number}",
    responses=problems(404, 410) | FILE_RESPONSES,
    response_class=Response,
)
def get_grid(
    evaluation_id: Name, number: Number, request: Request, center: CenterHere, caller: Caller
) -> Response:
    """Pictures of the concept at this place of the version: class word, own model, this model."""
    grid = center.evaluations.grid(evaluation_id, number, caller=caller)
    return blob_response(request, center.blobs, grid.sha256, "image/png", fixed=True)
