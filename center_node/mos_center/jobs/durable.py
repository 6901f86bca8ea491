"""Durable jobs made of named steps, on SQLite or PostgreSQL: the only module that knows DBOS.

A job runs once per id, however often it is enqueued. A step that returned is never run again for
its job: after a crash or a stop, the job goes on with the first step that had not returned. A step
may therefore run twice, and must be idempotent; what it returns is stored as JSON, so references
in, references out. A job that was handed to another worker can't record steps any more.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    SetEnqueueOptions,
    SetWorkflowID,
    error,
)
from mos_protocol.errors import MosError, rebuild

from mos_center.domain.jobs import VALIDATION, Job, kind_of
from mos_center.domain.models import Priority
from mos_center.jobs.patience import Interrupted, Patience, Superseded

# Pending jobs are only taken up by the version that started them: raise it when the steps of a
# job change, never with the release.
JOB_PROTOCOL = "fusion-jobs/1"
EXECUTOR = "worker-0"
POLL_SECONDS = 0.2
# How often a job that is no fusion may end its worker before it is given up.
DEATHS = 3
_APPLICATION = "mos-center"
_QUEUE = "fusions"
# Validations don't wait for hours behind fusions.
_SHORT_QUEUE = "checks"
_FUSE, _OTHER = "fuse", "work"
_PRIORITIES = {Priority.HIGH: 1, Priority.NORMAL: 2, Priority.LOW: 3}
_AT_ONCE = 500


class Steps(Protocol):
    """Runs one named step of a job and returns what it returned, this time or an earlier one."""

    def __call__(self, name: str, work: Callable[[], Any]) -> Any: ...


class JobState(Enum):
    """What is known of a job id."""

    ABSENT = "absent"
    PENDING = "pending"
    ENDED = "ended"
    DEAD = "dead"


_STATES = {
    "SUCCESS": JobState.ENDED,
    "ERROR": JobState.ENDED,
    "CANCELLED": JobState.ENDED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobState.DEAD,
}


class DurableJobs:
    """Queues of jobs, each run one after the other: `run(job_id, step)` is a job's body.

    url: SQLAlchemy's, of SQLite or PostgreSQL. executor: who this is; of each at most one process
    may live. may_work: whether it still is the one; jobs wait between steps while it is not.
    """

    def __init__(
        self,
        url: str,
        run: Callable[[str, Steps], None],
        executor: str = EXECUTOR,
        patience: Patience | None = None,
        may_work: Callable[[], bool] = lambda: True,
    ) -> None:
        self._url = url
        self._run = run
        self._executor = executor
        self._patience = patience or Patience()
        self._may_work = may_work
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._active: list[str] = []
        self._workflows: dict[str, Callable[[str], None]] = {}

    def start(self) -> None:
        """Open the database and go on with own unfinished jobs; blocks for about a second."""
        self._patience.begin()
        self._closing.clear()
        _quiet()
        DBOS(config=self._config())
        # A fusion counts how often it ended its worker by itself, see `FusionLedger.begin`.
        limits: dict[str, int | None] = {_FUSE: None, _OTHER: DEATHS - 1}
        for name, limit in limits.items():
            workflow = DBOS.workflow(name=name, max_recovery_attempts=limit)
            self._workflows[name] = workflow(self._job(name))
        DBOS.launch()
        for queue in (_QUEUE, _SHORT_QUEUE):
            DBOS.register_queue(queue, worker_concurrency=1, polling_interval_sec=POLL_SECONDS)

    def stop(self) -> None:
        """Let the step that runs end, then close; unfinished jobs go on at the next start."""
        self.drain()
        self.close()

    def drain(self) -> None:
        """Begin no further step, and wait for the one that runs."""
        self._patience.end()
        with self._idle:
            self._idle.wait_for(lambda: not self._active)

    def close(self) -> None:
        """Let go of the database."""
        self._closing.set()
        self._workflows = {}
        DBOS.destroy(destroy_registry=True)

    def enqueue(self, job: Job) -> None:
        """Have the job run; does nothing when it is known already. Not before `start`."""
        if not self._workflows:
            raise RuntimeError("the worker has not been started")
        queue, name = _place(job.id)
        with SetWorkflowID(job.id), SetEnqueueOptions(priority=_PRIORITIES[job.priority]):
            DBOS.enqueue_workflow(queue, self._workflows[name], job.id)

    def states(self, job_ids: Sequence[str]) -> Mapping[str, JobState]:
        """What is known of each job."""
        found = dict.fromkeys(job_ids, JobState.ABSENT)
        for start in range(0, len(job_ids), _AT_ONCE):
            for status in DBOS.list_workflows(
                workflow_ids=list(job_ids[start : start + _AT_ONCE]),
                load_input=False,
                load_output=False,
            ):
                found[status.workflow_id] = _STATES.get(status.status, JobState.PENDING)
        return found

    def running(self) -> Mapping[str, set[str]]:
        """The jobs that were begun and have not ended, by executor."""
        found: dict[str, set[str]] = defaultdict(set)
        for status in DBOS.list_workflows(
            status="PENDING", app_version=JOB_PROTOCOL, load_input=False, load_output=False
        ):
            found[status.executor_id or ""].add(status.workflow_id)
        return found

    def active(self) -> set[str]:
        """The jobs that run in this process."""
        with self._idle:
            return set(self._active)

    def recover(self, executor: str) -> None:
        """Put what `executor` had begun back into the queue. Only when it is dead for certain."""
        DBOS._recover_pending_workflows([executor])

    def forget(self, *job_ids: str) -> None:
        """Remove ended jobs, so that they can be enqueued again."""
        DBOS.delete_workflows(list(job_ids))

    def prune(self, age: timedelta, limit: int = _AT_ONCE) -> int:
        """Forget up to `limit` jobs that ended so long ago; return how many."""
        ended = DBOS.list_workflows(
            status=list(_STATES),
            completed_before=(datetime.now(UTC) - age).isoformat(),
            limit=limit,
            load_input=False,
            load_output=False,
        )
        if ended:
            self.forget(*(status.workflow_id for status in ended))
        return len(ended)

    def _config(self) -> DBOSConfig:
        return {
            "name": _APPLICATION,
            "system_database_url": self._url,
            "application_version": JOB_PROTOCOL,
            "executor_id": self._executor,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            # Its thread is joined at the end: this is how long `stop` takes at least.
            "notification_listener_polling_interval_sec": POLL_SECONDS,
            "enable_otlp": False,
        }

    def _job(self, name: str) -> Callable[[str], None]:
        def job(job_id: str) -> None:
            if self._patience.is_over():
                # Held until the end: what is given back now would only be handed out here again.
                self._closing.wait()
                raise Interrupted
            with self._idle:
                self._active.append(job_id)
            try:
                self._run(job_id, self._step)
            finally:
                with self._idle:
                    self._active.remove(job_id)
                    self._idle.notify_all()

        job.__qualname__ = name
        return job

    def _step(self, name: str, work: Callable[[], Any]) -> Any:
        self._patience.pause(0)
        while not self._may_work():
            self._patience.pause(POLL_SECONDS)
        try:
            outcome = DBOS.run_step({"name": name}, _told, lambda: self._patience(work))
        except error.DBOSWorkflowConflictIDError:
            # Another worker was given the job meanwhile.
            raise Superseded from None
        if "error" in outcome:
            raise rebuild(**outcome["error"])
        return outcome["value"]


class DurableQueue:
    """Enqueues from a process that runs no jobs; the tables must have been made by a worker."""

    def __init__(self, url: str) -> None:
        _quiet()
        self._client = DBOSClient(
            system_database_url=url,
            serializer=DBOSPortableJSONSerializer(),
            application_name=_APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def enqueue(self, job: Job) -> None:
        """Have a worker run the job; does nothing when it is known already."""
        queue, name = _place(job.id)
        self._client.enqueue(
            {
                "queue_name": queue,
                "workflow_name": name,
                "workflow_id": job.id,
                "app_version": JOB_PROTOCOL,
                "priority": _PRIORITIES[job.priority],
            },
            job.id,
        )

    def close(self) -> None:
        self._client.destroy()


def _place(job_id: str) -> tuple[str, str]:
    """The queue that a job waits in, and the workflow that runs it."""
    kind, _ = kind_of(job_id)
    return _SHORT_QUEUE if kind == VALIDATION else _QUEUE, _OTHER if kind else _FUSE


def _quiet() -> None:
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        # Without a handler of its own, DBOS would write to the console past our logging.
        logger.addHandler(logging.NullHandler())


def _told(work: Callable[[], Any]) -> dict[str, Any]:
    """Run a step; tell an error of ours as data, which survives storage as it is."""
    try:
        return {"value": work()}
    except MosError as problem:
        fields = {key: str(value) for key, value in problem.fields.items()}
        return {
            "error": {
                "code": problem.code,
                "message": problem.message,
                "hint": problem.hint,
                "fields": fields,
            }
        }
