"""How the center is, for admins: what it stands on, who works, what waits, how it is set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from fastapi import APIRouter, Request, Response

from mos_center.dashboard.operations.settings_in_force import settings_in_force
from mos_center.dashboard.rendering import is_fragment, page_path, render
from mos_center.dashboard.visitor import CenterHere, VisitorHere
from mos_center.domain.jobs import AUDIT, COMPOSITION, EVALUATION, VALIDATION, fusion_of, kind_of
from mos_center.domain.models import Priority
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.domain.workers import WorkerRecord

router = APIRouter()

DISTRIBUTION = "mos-federation"
WORKERS = 100


@dataclass(frozen=True)
class ShownWorker:
    """A worker, whether it is heard of (alive, stopped, gone), and the job that it runs.

    `path` is the page of what the job is about, "" where there is none.
    """

    record: WorkerRecord
    state: str
    job: str
    path: str


@router.get("/system")
def system_page(request: Request, center: CenterHere, visitor: VisitorHere) -> Response:
    """Everything but the probes, which a page that is shown asks for."""
    now = datetime.now(UTC)
    workers = [_shown(one, now) for one in center.workers.all(caller=visitor.caller)]
    # Those at work first; of the others, those heard of last.
    workers.sort(key=lambda one: (one.state != "alive", now - one.record.seen_at))
    return render(
        request,
        "system/page.html",
        visitor=visitor,
        workers=workers[:WORKERS],
        more_workers=len(workers[WORKERS:]),
        is_worked=any(one.state == "alive" for one in workers),
        queues=center.health.queues(caller=visitor.caller),
        fusion_states=list(FusionState),
        submission_states=list(SubmissionState),
        priorities=list(reversed(Priority)),
        bases=center.bases.all(),
        version=version(DISTRIBUTION),
        settings=settings_in_force(request.app.state.settings),
    )


@router.get("/system/health")
def system_health(request: Request, center: CenterHere, visitor: VisitorHere) -> Response:
    """How database and store answer now: slowly or not at all, if they are ill."""
    return render(
        request,
        "system/_health.html" if is_fragment(request) else "system/health.html",
        visitor=visitor,
        health=center.health.probes(caller=visitor.caller),
    )


def _shown(worker: WorkerRecord, now: datetime) -> ShownWorker:
    state = "alive" if worker.is_alive(now) else "gone"
    if worker.stopped_at is not None:
        state = "stopped"
    job, path = _job(worker.job) if state == "alive" and worker.job else ("", "")
    return ShownWorker(worker, state, job, path)


_WORDS = {
    AUDIT: "audits a concept",
    COMPOSITION: "draws a scene",
    EVALUATION: "evaluates a version",
}


def _job(job_id: str) -> tuple[str, str]:
    """What a job does, in words, and the page of what it is about."""
    kind, name = kind_of(job_id)
    if not kind:
        return "a fusion", page_path("fusions", fusion_of(job_id)[0])
    if kind == VALIDATION:
        return "checks a package", page_path("submissions", name)
    return _WORDS.get(kind, kind), ""
