"""Looking after all jobs, every few seconds: what got lost is found, what was left is taken over.

Every worker keeps its own name alive; one at a time looks after the rest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from mos_protocol.errors import Conflict, MosError

from mos_center.domain.jobs import Job
from mos_center.jobs.durable import DurableJobs, JobState, Steps
from mos_center.jobs.slots import Slot

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0


class JobKind(Protocol):
    """A kind of job: what is to be done, and how."""

    def unfinished(self) -> Sequence[Job]:
        """The jobs that are to be done, those that run included."""

    def run(self, job_id: str, step: Steps) -> None:
        """Do the job; `job_id` is without its kind. Errors are told to whoever waits for it."""

    def lost(self, job_id: str, *, killed: bool) -> bool:
        """Called when the job ended and is still unfinished: whether it shall be run again.

        killed: because it ended its worker again and again.
        """


@dataclass(frozen=True)
class Rhythm:
    """Seconds. takeover: how long a worker must have been gone before its jobs are another's."""

    sweep: float = 2.0
    takeover: float = 10.0
    prune: float = 3600.0
    keep: timedelta = timedelta(days=7)


class Sweeper:
    """A thread that looks after all jobs; `on_usurped` is called when the worker's name is lost."""

    def __init__(
        self,
        jobs: DurableJobs,
        kinds: Mapping[str, JobKind],
        slot: Slot,
        executor: str,
        on_usurped: Callable[[], None],
        rhythm: Rhythm | None = None,
    ) -> None:
        self._jobs = jobs
        self._kinds = kinds
        self._slot = slot
        self._executor = executor
        self._on_usurped = on_usurped
        self._rhythm = rhythm or Rhythm()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="job-sweeper", daemon=True)
        self._gone_since: dict[str, float] = {}
        self._idle_here: set[str] = set()
        self._next_prune = 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it; a call that waits for a database that is away is left behind."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)

    def sweep(self) -> None:
        """Look once; raises what the databases raise."""
        self._slot.renew()
        with self._slot.sweeping() as here:
            self._take_over(others=here)
            if here:
                for kind in self._kinds:
                    self._reconcile(kind)
                self._prune()

    def _loop(self) -> None:
        while not self._stopping.wait(self._rhythm.sweep):
            try:
                self.sweep()
            except Conflict as error:
                log.error("worker.usurped executor=%s reason=%s", self._executor, error.message)
                self._on_usurped()
                return
            except Exception as error:
                # The next one may find everything in order again.
                self._gone_since.clear()
                log.warning("worker.sweep_failed reason=%s", _reason(error))

    def _take_over(self, *, others: bool) -> None:
        """Put back into the queue what was begun by workers that are gone, and lost here."""
        running = self._jobs.running()
        self._find_own(running.get(self._executor, set()))
        now = time.monotonic()
        executors = set(running) - {self._executor} if others else set()
        self._gone_since = {
            name: since for name, since in self._gone_since.items() if name in executors
        }
        for executor in executors:
            with self._slot.abandoned(executor) as abandoned:
                if not abandoned:
                    self._gone_since.pop(executor, None)
                elif now - self._gone_since.setdefault(executor, now) >= self._rhythm.takeover:
                    log.warning("worker.takes_over executor=%s", executor)
                    self._jobs.recover(executor)

    def _find_own(self, begun: set[str]) -> None:
        """Jobs that were begun under this name and don't run: twice so, as they begin in steps."""
        idle = begun - self._jobs.active()
        if idle & self._idle_here and not self._jobs.active():
            log.warning("worker.goes_on jobs=%d", len(idle))
            self._jobs.recover(self._executor)
            idle = set()
        self._idle_here = idle

    def _reconcile(self, kind: str) -> None:
        """Enqueue what nobody did, and end or repeat what ended without a result."""
        known = self._kinds[kind]
        prefix = f"{kind}:" if kind else ""
        unfinished = known.unfinished()
        states = self._jobs.states([job.id for job in unfinished])
        for job in unfinished:
            state = states[job.id]
            if state in (JobState.ENDED, JobState.DEAD):
                log.warning("job.lost id=%s state=%s", job.id, state.value)
                if not known.lost(job.id.removeprefix(prefix), killed=state is JobState.DEAD):
                    continue
                self._jobs.forget(job.id)
                state = JobState.ABSENT
            if state is JobState.ABSENT:
                self._jobs.enqueue(job)

    def _prune(self) -> None:
        now = time.monotonic()
        if now >= self._next_prune:
            forgotten = self._jobs.prune(self._rhythm.keep)
            self._next_prune = now + self._rhythm.prune
            if forgotten:
                log.info("jobs.pruned jobs=%d", forgotten)


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, MosError) else type(error).__name__
