"""What a running tuning tells its caller, and the clock that knows how long it will take."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

SMOOTHING = 0.98


class Phase(StrEnum):
    """The stages from pictures to a package, in order."""

    PREPARING = "preparing"
    TUNING = "tuning"
    RECORDING = "recording"
    PREVIEWS = "previews"
    PACKING = "packing"
    DONE = "done"


@dataclass(frozen=True)
class TuneProgress:
    """One report: `loss` is smoothed, `eta_seconds` counts the tuning phase only.

    `message` is empty unless there is something to tell; `sample` is a picture just written.
    """

    phase: Phase
    step: int
    steps: int
    loss: float | None = None
    steps_per_second: float | None = None
    eta_seconds: float | None = None
    message: str = ""
    sample: Path | None = None


OnProgress = Callable[[TuneProgress], None]


def ignore_progress(progress: TuneProgress) -> None:
    """The callback for callers that want none."""


class LossMeter:
    """The smoothed loss and the speed of a run that started, or resumed, after `losses`."""

    def __init__(self, steps: int, losses: Sequence[float] = ()) -> None:
        self.steps = steps
        self._done = self._first = 0
        self._sum = self._weight = 0.0
        for loss in losses:
            self.add(loss)
        self._first = len(losses)
        self._started = time.monotonic()

    def add(self, loss: float) -> None:
        """Count one finished step."""
        self._done += 1
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)

    @property
    def smoothed(self) -> float | None:
        """The exponential mean, corrected for its start as Adam corrects its moments."""
        return self._sum / self._weight if self._weight else None

    def report(self, message: str = "", sample: Path | None = None) -> TuneProgress:
        """The state of the tuning phase now."""
        elapsed = time.monotonic() - self._started
        ran = self._done - self._first
        speed = ran / elapsed if ran and elapsed > 0 else None
        eta = (self.steps - self._done) / speed if speed else None
        return TuneProgress(
            Phase.TUNING, self._done, self.steps, self.smoothed, speed, eta, message, sample
        )


def thin_curve(losses: Sequence[float], points: int = 256) -> tuple[float, ...]:
    """The loss curve as means over at most `points` equal stretches, to 6 digits."""
    if not losses:
        return ()
    count = min(points, len(losses))
    edges = [round(index * len(losses) / count) for index in range(count + 1)]
    stretches = [losses[low:high] for low, high in itertools.pairwise(edges)]
    return tuple(round(sum(part) / len(part), 6) for part in stretches)
