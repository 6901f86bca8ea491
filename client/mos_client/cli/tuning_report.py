"""What a tuning tells while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import duration

if TYPE_CHECKING:
    from mos_client.tuning import TuneProgress


class TuneReporter:
    """Turns the reports of a tuning into a bar's text and lasting messages."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._phase = ""

    def __call__(self, progress: TuneProgress) -> None:
        phase = progress.phase.value
        if phase == "done":
            return
        told = progress.message or (phase if phase != self._phase and phase != "tuning" else "")
        if told:
            self._line.say(told)
        if progress.sample and phase == "tuning":
            self._line.say(f"samples: {progress.sample}")
        self._phase = phase
        self._line.update(progress.step, progress.steps, self._text(progress))

    def _text(self, progress: TuneProgress) -> str:
        if progress.phase.value != "tuning":
            return progress.phase.value
        parts = [f"step {progress.step}/{progress.steps}"]
        if progress.loss is not None:
            parts.append(f"loss {progress.loss:.4f}")
        if progress.steps_per_second:
            parts.append(f"{progress.steps_per_second:.2f} steps/s")
        if progress.eta_seconds is not None:
            parts.append(f"{duration(progress.eta_seconds)} left")
        return "  ".join(parts)
