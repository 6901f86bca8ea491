"""What happens to a fusion, from its request to its end: events, never changed or removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FusionEventKind(StrEnum):
    """What happened; `begun`, `paused` and `planned` are a worker's attempt at the fusion."""

    REQUESTED = "requested"
    BEGUN = "begun"
    PLANNED = "planned"
    STEP_STARTED = "step_started"
    STEP_DONE = "step_done"
    PUBLISHED = "published"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    PAUSED = "paused"


@dataclass(frozen=True)
class FusionEvent:
    """One event; `seq` counts a fusion's events from 1.

    `generation` and `attempt` are the fusion's at that time, `step` the name of the step that it
    is about, "" where there is none. `data` is a small JSON object, by kind:

        requested, cancelled, retried   {"by": member}
        begun                           {"executor": name}, if it is known
        planned                         {"steps": [{"name": step, "block": fused block or ""}, …]}
        step_done                       {"seconds": number, "finding": {…} or None}
        published                       {"version": number}
        failed                          {"code": …, "message": …, "hint": …}
    """

    fusion_id: str
    seq: int
    at: datetime
    kind: FusionEventKind
    generation: int
    attempt: int
    step: str = ""
    data: Mapping[str, object] | None = None


@dataclass(frozen=True)
class PlannedStep:
    """A step that is to come; `block` is the one that it fuses, "" where it fuses none."""

    name: str
    block: str = ""
