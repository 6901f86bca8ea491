"""Workers, and when each was last heard of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

ALIVE = timedelta(seconds=30)
"""How long a worker that is not heard of counts as alive: three beats of its heart."""


@dataclass(frozen=True)
class WorkerRecord:
    """A worker by its name, `executor`, which one process has at a time.

    device: "cpu" or the GPU's name. job: the id of the job that it runs, "" while it runs none.
    """

    executor: str
    host: str
    pid: int
    device: str
    version: str
    job: str
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None = None

    def is_alive(self, now: datetime) -> bool:
        """Whether it has not stopped, and was heard of within half a minute."""
        return self.stopped_at is None and now - self.seen_at <= ALIVE
