"""Handing jobs to workers of other processes, from one that runs none: needs no torch."""

from __future__ import annotations

import logging

from mos_center.domain.jobs import Job
from mos_center.jobs.durable import DurableQueue

log = logging.getLogger(__name__)


class RemoteQueue:
    """Implements `domain.ports.FusionQueue` on the workers' PostgreSQL database.

    It only saves the workers a look: a job that could not be handed over is found in the database
    by the worker that looks after all jobs, within seconds.
    """

    def __init__(self, url: str) -> None:
        self._queue = DurableQueue(url)

    def enqueue(self, job: Job) -> None:
        """Have a worker run it soon."""
        try:
            self._queue.enqueue(job)
        except Exception as error:
            # Whatever it was, nothing is lost by it: before the first worker, tables are missing.
            log.warning("queue.left_to_workers id=%s reason=%s", job.id, type(error).__name__)

    def cancel(self, fusion_id: str) -> None:
        """Nothing to hand over: the job asks the ledger before each of its steps."""

    def close(self) -> None:
        """Close its connections."""
        self._queue.close()
