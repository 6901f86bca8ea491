"""A fusion's job as its page shows it: what its events mean, put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mos_center.dashboard.formatting import percent, plural, span
from mos_center.domain.access import Caller
from mos_center.domain.fusion_events import FusionEvent, FusionEventKind
from mos_center.domain.models import Fusion
from mos_center.domain.states import FusionState, is_finished
from mos_center.service.center import Center

MOST_CONCEPTS = 40
MOST_LINES = 150
_PAGE = 500
_UNET = "unet."
# How the step stands that began last, unless it is done.
_LAST_STEP = {
    FusionState.RUNNING: "running",
    FusionState.FAILED: "stopped",
    FusionState.CANCELLED: "stopped",
}


@dataclass(frozen=True)
class Job:
    """A fusion, and all its events so far."""

    fusion: Fusion
    events: tuple[FusionEvent, ...] = ()

    @property
    def is_final(self) -> bool:
        return is_finished(self.fusion.state)

    def own(self, kind: FusionEventKind) -> list[FusionEvent]:
        """The events of this kind since it was last started over."""
        generation = self.fusion.generation
        return [one for one in self.events if (one.kind, one.generation) == (kind, generation)]


class JobReader:
    """Reads a job again and again; events that are known are not read twice."""

    def __init__(self, center: Center, fusion_id: str) -> None:
        self._center = center
        self._id = fusion_id
        self._events: tuple[FusionEvent, ...] = ()

    def read(self, caller: Caller) -> Job:
        """The job as it is now; raises `NotFound`."""
        # The fusion first: what ends it is then among the events.
        fusion = self._center.fusions.get(self._id, caller=caller)
        while True:
            after = self._events[-1].seq if self._events else 0
            found = self._center.fusions.events(self._id, caller=caller, after=after, limit=_PAGE)
            self._events += found
            if len(found) < _PAGE:
                return Job(fusion, self._events)


@dataclass(frozen=True)
class StepView:
    """A step, or several of a kind: `done` of `count`; the error before and after of a block."""

    name: str
    state: str
    count: int = 1
    done: int = 0
    took: str = ""
    average: float | None = None
    result: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class KeptMap:
    """What concepts keep in each block, None where it is not fused yet; `hidden` are left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    hidden: int

    @property
    def has_shares(self) -> bool:
        """Whether any block is fused."""
        return any(share is not None for _, shares in self.rows for share in shares)


@dataclass(frozen=True)
class Line:
    """A line of the log."""

    at: datetime
    text: str
    is_problem: bool = False


def steps_of(job: Job) -> list[StepView]:
    """Every step of the newest plan; what a round records are one, whatever the concepts."""
    done = {event.step: _data(event) for event in job.own(FusionEventKind.STEP_DONE)}
    started = [event.step for event in job.own(FusionEventKind.STEP_STARTED)]
    last = started[-1] if started else ""
    groups: dict[str, list[str]] = {}
    for step in planned(job):
        groups.setdefault(_kind(step["name"]), []).append(step["name"])
    return [_step(key, names, done, last, job.fusion.state) for key, names in groups.items()]


def kept_map(job: Job) -> KeptMap:
    """Shares kept by concept and block; of too many concepts, those that keep least."""
    findings = dict(_findings(job))
    blocks = list(dict.fromkeys(step["block"] for step in planned(job) if step["block"]))
    kept = [findings.get(block, {}).get("kept", {}) for block in blocks]
    rows = [
        (concept.ref, tuple(own.get(concept.ref) for own in kept))
        for concept in job.fusion.concepts
    ]
    shown = rows if len(rows) <= MOST_CONCEPTS else sorted(rows, key=_mean)[:MOST_CONCEPTS]
    columns = tuple(block.removeprefix(_UNET) for block in blocks)
    return KeptMap(columns, tuple(shown), len(rows) - len(shown))


def log_of(job: Job) -> tuple[list[Line], int]:
    """The newest lines, newest first, and how many are left out."""
    newest = job.events[-MOST_LINES:]
    return [_line(event) for event in reversed(newest)], len(job.events) - len(newest)


def planned(job: Job) -> list[dict[str, str]]:
    """The steps of the newest plan: `name`, and the `block` that it fuses."""
    plans = job.own(FusionEventKind.PLANNED)
    return _data(plans[-1])["steps"] if plans else []


def _kind(step: str) -> str:
    """A round of refinement records every concept; what it fuses are blocks of their own."""
    before, records, _ = step.partition(": record ")
    return f"{before}: record every concept" if records else step


def _step(
    name: str,
    steps: Sequence[str],
    done: Mapping[str, Mapping[str, Any]],
    last: str,
    fusion: FusionState,
) -> StepView:
    ended = [done[step] for step in steps if step in done]
    count = len(steps) if fusion is FusionState.PUBLISHED else len(ended)
    finding = (ended[-1].get("finding") or {}) if ended else {}
    residual = finding.get("residual", {})
    state = "waiting"
    if count == len(steps):
        state = "done"
    elif last in steps:
        state = _LAST_STEP.get(fusion, state)
    return StepView(
        name=name,
        state=state,
        count=len(steps),
        done=count,
        took=_lasted(sum(item["seconds"] for item in ended)) if ended else "",
        average=residual.get("average"),
        result=residual.get("result"),
        remark=finding.get("unsampled", ""),
    )


def _findings(job: Job) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Fused blocks with what was found, in order: a later round's finding comes later."""
    for event in job.own(FusionEventKind.STEP_DONE):
        finding = _data(event).get("finding") or {}
        if "block" in finding:
            yield finding["block"], finding


def _mean(row: tuple[str, tuple[float | None, ...]]) -> float:
    """What the concept keeps in the blocks that are fused, on average."""
    known = [share for share in row[1] if share is not None]
    return sum(known) / len(known) if known else 1.0


def _line(event: FusionEvent) -> Line:
    return Line(event.at, _told(event), event.kind is FusionEventKind.FAILED)


def _told(event: FusionEvent) -> str:
    data = _data(event)
    match event.kind:
        case FusionEventKind.REQUESTED | FusionEventKind.CANCELLED | FusionEventKind.RETRIED:
            return f"{event.kind.value} by {data.get('by', 'somebody')}"
        case FusionEventKind.BEGUN:
            worker = data.get("executor")
            return f"attempt {event.attempt} begins" + (f" on worker {worker}" if worker else "")
        case FusionEventKind.PLANNED:
            return f"planned: {plural(len(data.get('steps', [])), 'step')}"
        case FusionEventKind.STEP_STARTED:
            return f"{event.step} …"
        case FusionEventKind.STEP_DONE:
            return f"{event.step}: done in {_lasted(data['seconds'])}{_found(data.get('finding'))}"
        case FusionEventKind.PUBLISHED:
            return f"published as version {data.get('version')}"
        case FusionEventKind.FAILED:
            return f"failed: {data.get('message', '')} {data.get('hint', '')}".strip()
        case FusionEventKind.PAUSED:
            return "its worker stopped in order; another one goes on with it"


def _found(finding: Mapping[str, Any] | None) -> str:
    finding = finding or {}
    if "unsampled" in finding:
        return f", without previews: {finding['unsampled']}"
    residual = finding.get("residual")
    if residual is None:
        return ""
    return f", error {percent(residual['average'], 1)} → {percent(residual['result'], 1)}"


def _lasted(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else span(seconds)


def _data(event: FusionEvent) -> Mapping[str, Any]:
    return event.data or {}
