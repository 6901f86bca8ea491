"""Who works at the center, for admins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from fastapi import APIRouter

from mos_center.api.rest.context import (
    Answer,
    Caller,
    CenterHere,
    Page,
    needs_token,
    problems,
)
from mos_center.domain.workers import WorkerRecord

router = APIRouter(prefix="/v1/workers", tags=["workers"], dependencies=[needs_token])


class Worker(Answer):
    """A worker by its name; `alive`: it has not stopped, and was heard of within 30 seconds.

    `device` is cpu or the GPU's name. `job` is the id of the job that it runs, empty for none: a
    fusion's, or `validate:` or `audit:` and an id.
    """

    executor: str
    host: str
    pid: int
    device: str
    version: str
    job: str
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None
    alive: bool

    @classmethod
    def of(cls, worker: WorkerRecord, now: datetime) -> Self:
        return cls(
            executor=worker.executor,
            host=worker.host,
            pid=worker.pid,
            device=worker.device,
            version=worker.version,
            job=worker.job,
            started_at=worker.started_at,
            seen_at=worker.seen_at,
            stopped_at=worker.stopped_at,
            alive=worker.is_alive(now),
        )


@router.get("", responses=problems())
def list_workers(center: CenterHere, caller: Caller) -> Page[Worker]:
    """Every worker that was heard of within 30 days, by name, in one page."""
    now = datetime.now(UTC)
    found = center.workers.all(caller=caller)
    return Page(items=[Worker.of(item, now) for item in found], next_cursor=None)
