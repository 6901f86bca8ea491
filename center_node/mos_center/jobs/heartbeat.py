"""A worker's heartbeat: that it is there and what it does, written down every few seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import MosError

from mos_center.domain.jobs import kind_of
from mos_center.domain.ports import WorkerLedger
from mos_center.domain.workers import WorkerRecord

log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
# Short jobs come one after another: each beat is a write that others wait for.
_LEAST_SECONDS = 1.0
_STOP_SECONDS = 5.0


class Heartbeat:
    """A thread that tells a ledger of its worker, at once when a job begins or ends.

    worker: who it is; what it does and when is filled in. A ledger that is away is logged.
    """

    def __init__(
        self,
        ledger: WorkerLedger,
        worker: WorkerRecord,
        *,
        every: float = BEAT_SECONDS,
        least: float = _LEAST_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._worker = worker
        self._every = every
        self._least = least
        self._lock = threading.Lock()
        self._jobs: list[str] = []
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Beat from now on."""
        self._worker = replace(self._worker, started_at=datetime.now(UTC))
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell that the worker stopped; does nothing unless it was started.

        A call that waits for a database that is away is left behind.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            self._changed.set()
            thread.join(_STOP_SECONDS)
            self._beat(stopped=True)

    @contextmanager
    def doing(self, job_id: str) -> Iterator[None]:
        """Have the job told of while it runs inside."""
        with self._lock:
            self._jobs.append(job_id)
        self._changed.set()
        try:
            yield
        finally:
            with self._lock:
                self._jobs.remove(job_id)
            self._changed.set()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._changed.clear()
            self._beat()
            if not self._stopping.wait(self._least):
                self._changed.wait(self._every - self._least)

    def _beat(self, *, stopped: bool = False) -> None:
        now = datetime.now(UTC)
        record = replace(
            self._worker, job=self._job(), seen_at=now, stopped_at=now if stopped else None
        )
        try:
            self._ledger.beat(record)
        except MosError as error:
            log.warning("worker.beat_failed reason=%s", error.message)

    def _job(self) -> str:
        """What it does: of two jobs side by side, the fusion."""
        with self._lock:
            return min(self._jobs, key=lambda job_id: kind_of(job_id)[0], default="")
