"""What happened to a fusion, step by step."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query

from mos_center.api.rest.context import Answer, Caller, CenterHere, Limit, needs_token, problems
from mos_center.domain import fusion_events
from mos_center.domain.fusion_events import FusionEventKind

router = APIRouter(prefix="/v1/fusions", tags=["fusions"], dependencies=[needs_token])

MAX_SEQ = 2**31 - 1


class FusionEvent(Answer):
    """One event of a fusion; `seq` counts from 1.

    `generation` counts its retries before, `attempt` the workers that had begun with it. `data`
    depends on the kind: what is planned, how long a step took and what it found, why it failed.
    """

    seq: int
    at: datetime
    kind: FusionEventKind
    generation: int
    attempt: int
    step: str
    data: dict[str, Any] | None

    @classmethod
    def of(cls, event: fusion_events.FusionEvent) -> Self:
        return cls(
            seq=event.seq,
            at=event.at,
            kind=event.kind,
            generation=event.generation,
            attempt=event.attempt,
            step=event.step,
            data=None if event.data is None else dict(event.data),
        )


class FusionLog(Answer):
    """Events, oldest first; pass `next_after` as `after` to get the next ones."""

    items: list[FusionEvent]
    next_after: int | None


@router.get("/{fusion_id}/log", responses=problems(404))
def fusion_log(
    fusion_id: str,
    center: CenterHere,
    caller: Caller,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    limit: Limit = 100,
) -> FusionLog:
    """What happened to it, oldest first; `after` is the number of the last event known."""
    found = center.fusions.events(fusion_id, caller=caller, after=after, limit=limit)
    return FusionLog(
        items=[FusionEvent.of(event) for event in found],
        next_after=found[-1].seq if len(found) == limit else None,
    )
