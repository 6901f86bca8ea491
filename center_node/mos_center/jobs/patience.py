"""Waiting for a database or a store that is away, as long as that is sensible."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from mos_protocol.errors import Unavailable

from mos_center.telemetry.metrics import JOB_RETRIES

log = logging.getLogger(__name__)

Result = TypeVar("Result")

DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
"""Seconds before each further try; about two minutes in all."""


class Interrupted(BaseException):
    """The worker stops: the job is left as it is, and goes on at the next start or elsewhere.

    No `Exception`, so that nothing on the way takes it for a failure of the job.
    """


class Superseded(Interrupted):
    """The job was given to another worker meanwhile."""


class Patience:
    """Calls again what raised `Unavailable`, until it works, the delays are over or all stops."""

    def __init__(self, delays: Sequence[float] = DELAYS) -> None:
        self._delays = delays
        self._stopping = threading.Event()

    def __call__(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns; raises `Interrupted` when the worker stops meanwhile."""
        for delay in self._delays:
            try:
                return work()
            except Unavailable as error:
                JOB_RETRIES.inc()
                log.warning("job.waits seconds=%g reason=%s", delay, error.message)
            self.pause(delay)
        return work()

    def pause(self, seconds: float) -> None:
        """Sleep; raises `Interrupted` when the worker stops."""
        if self._stopping.wait(seconds):
            raise Interrupted

    def is_over(self) -> bool:
        """Whether the worker stops."""
        return self._stopping.is_set()

    def begin(self) -> None:
        """Have patience (again)."""
        self._stopping.clear()

    def end(self) -> None:
        """Have none from now on: the worker stops."""
        self._stopping.set()
