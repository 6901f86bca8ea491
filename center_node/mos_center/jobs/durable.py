"""Durable jobs made of named steps, on one SQLite file: the only module that knows DBOS.

A job runs once per id, however often it is enqueued. A step that returned is never run again for
its job: after a crash or a stop, the next start goes on with the first step that had not returned.
A step may therefore run twice, and must be idempotent; what it returns is stored as JSON, so
references in, references out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from mos_protocol.errors import MosError, rebuild

# Pending jobs are only taken up by the version that started them: raise it when the steps of a
# job change, never with the release.
JOB_PROTOCOL = "fusion-jobs/1"
EXECUTOR = "worker-0"
QUEUE = "fusions"
POLL_SECONDS = 0.2
_ENDED = {"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}


class Steps(Protocol):
    """Runs one named step of a job and returns what it returned, this time or an earlier one."""

    def __call__(self, name: str, work: Callable[[], Any]) -> Any: ...


class JobState(Enum):
    """What is known of a job id."""

    ABSENT = "absent"
    PENDING = "pending"
    ENDED = "ended"


class Interrupted(BaseException):
    """The worker stops: the job is left as it is and goes on at the next start.

    No `Exception`, so that nothing on the way takes it for a failure of the job.
    """


class DurableJobs:
    """One queue of jobs, run one after the other: `run(job_id, step)` is a job's body."""

    def __init__(self, database: Path, run: Callable[[str, Steps], None]) -> None:
        self._database = database
        self._run = run
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._active = 0
        self._workflow: Callable[[str], None] | None = None

    def start(self) -> None:
        """Open the database and go on with unfinished jobs; blocks for about a second."""
        self._database.parent.mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        logger = logging.getLogger("dbos")
        if not logger.handlers:
            # Without a handler of its own, DBOS would write to the console past our logging.
            logger.addHandler(logging.NullHandler())
        config: DBOSConfig = {
            "name": "mos-center",
            "system_database_url": f"sqlite:///{self._database.resolve()}",
            "application_version": JOB_PROTOCOL,
            "executor_id": EXECUTOR,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            # Its thread is joined at the end: this is how long `stop` takes at least.
            "notification_listener_polling_interval_sec": POLL_SECONDS,
            "enable_otlp": False,
        }
        DBOS(config=config)

        def job(job_id: str) -> None:
            with self._idle:
                self._active += 1
            try:
                self._run(job_id, self._step)
            finally:
                with self._idle:
                    self._active -= 1
                    self._idle.notify_all()

        self._workflow = DBOS.workflow(name="fuse")(job)
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_SECONDS)

    def stop(self) -> None:
        """Let the step that runs end, then close; unfinished jobs go on at the next start."""
        self._stopping.set()
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0)
        self._workflow = None
        DBOS.destroy(destroy_registry=True)

    def enqueue(self, job_id: str) -> None:
        """Have the job run; does nothing when it is known already. Not before `start`."""
        if self._workflow is None:
            raise RuntimeError("the worker has not been started")
        with SetWorkflowID(job_id):
            DBOS.enqueue_workflow(QUEUE, self._workflow, job_id)

    def state(self, job_id: str) -> JobState:
        """What is known of the job."""
        status = DBOS.get_workflow_status(job_id)
        if status is None:
            return JobState.ABSENT
        return JobState.ENDED if status.status in _ENDED else JobState.PENDING

    def _step(self, name: str, work: Callable[[], Any]) -> Any:
        if self._stopping.is_set():
            raise Interrupted
        outcome = DBOS.run_step({"name": name}, _told, work)
        if "error" in outcome:
            raise rebuild(**outcome["error"])
        return outcome["value"]


def _told(work: Callable[[], Any]) -> dict[str, Any]:
    """Run a step; tell an error of ours as data, which survives storage as it is."""
    try:
        return {"value": work()}
    except MosError as error:
        fields = {key: str(value) for key, value in error.fields.items()}
        told = {"code": error.code, "message": error.message, "hint": error.hint, "fields": fields}
        return {"error": told}
