"""The worker: runs jobs of all kinds, durably, alone on SQLite or as one of many on PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from queue import SimpleQueue

from mos_protocol.errors import Conflict, NotFound, Unavailable

from mos_center.domain.jobs import Job, kind_of
from mos_center.jobs.durable import EXECUTOR, DurableJobs, Steps
from mos_center.jobs.fusion_job import FusionJob
from mos_center.jobs.heartbeat import Heartbeat
from mos_center.jobs.patience import Patience
from mos_center.jobs.slots import Slot
from mos_center.jobs.sweeper import JobKind, Rhythm, Sweeper

log = logging.getLogger(__name__)


class Worker:
    """Implements `domain.ports.FusionQueue`; at most one per process.

    url: the database that remembers which steps are done, SQLAlchemy's URL of SQLite or PostgreSQL.
    slot: the name it works under, `executor`. kinds: the jobs that are no fusions, by kind.
    heartbeat: how the center hears of it, if it is to.
    """

    def __init__(
        self,
        url: str,
        slot: Slot,
        fusions: FusionJob,
        kinds: Mapping[str, JobKind] | None = None,
        *,
        executor: str = EXECUTOR,
        patience: Patience | None = None,
        rhythm: Rhythm | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._slot = slot
        self._heartbeat = heartbeat
        self._executor = executor
        self._rhythm = rhythm
        self._fusions = fusions
        self._kinds: dict[str, JobKind] = {"": fusions, **(kinds or {})}
        self._jobs = DurableJobs(url, self._run, executor, patience, slot.is_held)
        self._sweeper: Sweeper | None = None
        # Its `put` may be called by signal handlers.
        self._ends: SimpleQueue[bool] = SimpleQueue()

    @property
    def name(self) -> str:
        """Its executor's."""
        return self._executor

    def start(self) -> None:
        """Go on with what was interrupted and take up what waits; blocks for about a second.

        Raises `Conflict` when another process works under this name. In a program with an event
        loop, call it by `asyncio.to_thread`.
        """
        self._slot.take()
        if self._heartbeat is not None:
            self._heartbeat.start()
        try:
            self._fusions.tidy()
            self._jobs.start()
            sweeper = Sweeper(
                self._jobs, self._kinds, self._slot, self._executor, self._lose, self._rhythm
            )
            sweeper.sweep()
        except BaseException:
            self.stop()
            raise
        sweeper.start()
        self._sweeper = sweeper
        log.info("worker.started executor=%s", self._executor)

    def stop(self) -> None:
        """Let the running step end and stop; the job goes on at the next start, or elsewhere."""
        # Its name is kept alive until the step has ended.
        self._jobs.drain()
        if self._sweeper is not None:
            self._sweeper.stop()
        self._jobs.close()
        # Before somebody else has the name.
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._slot.give_back()
        log.info("worker.stopped executor=%s", self._executor)

    def wait(self) -> None:
        """Block until `end`; raises `Conflict` when another process took the name."""
        if self._ends.get():
            raise Conflict(
                f"Another worker runs as {self._executor} now.",
                hint="Give each worker a name of its own with --executor or MOS_EXECUTOR.",
            )

    def end(self) -> None:
        """Have `wait` return. May be called by signal handlers."""
        self._ends.put(False)

    def check(self) -> None:
        """Raise `Unavailable` while it can't take jobs."""
        if not self._slot.is_held():
            raise Unavailable("The worker does not hold its name.", hint="Look at its log.")

    def enqueue(self, job: Job) -> None:
        """Have the job run, once."""
        self._jobs.enqueue(job)

    def cancel(self, fusion_id: str) -> None:
        """Nothing to hand over: the job asks the ledger before each of its steps."""
        log.info("worker.cancel id=%s", fusion_id)

    def _lose(self) -> None:
        self._ends.put(True)

    def _run(self, job_id: str, step: Steps) -> None:
        kind, name = kind_of(job_id)
        if kind not in self._kinds:
            raise NotFound(f"There are no jobs of kind {kind!r}.", hint="Upgrade this worker.")
        with nullcontext() if self._heartbeat is None else self._heartbeat.doing(job_id):
            self._kinds[kind].run(name, step)
