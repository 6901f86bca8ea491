"""What one attempt at a fusion tells of its steps: all that come, and when each begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic

from mos_center.domain.fusion_events import PlannedStep
from mos_center.domain.ports import FusionLedger
from mos_center.jobs.patience import Patience, Superseded
from mos_center.telemetry.metrics import job_step


class Telling:
    """Tells the ledger of one attempt's steps."""

    def __init__(
        self, ledger: FusionLedger, patience: Patience, fusion_id: str, attempt: int
    ) -> None:
        self._ledger = ledger
        self._patience = patience
        self._fusion_id = fusion_id
        self._attempt = attempt

    def planned(self, steps: Sequence[PlannedStep]) -> None:
        """Tell every step that is to come."""
        told = partial(self._ledger.planned, self._fusion_id, steps, attempt=self._attempt)
        self._patience(told)

    def begins(self, done: int, total: int, step: str) -> None:
        """Tell how far it is; raises `Superseded` when the fusion is another worker's now."""
        counts = self._ledger.progress(self._fusion_id, done, total, step, attempt=self._attempt)
        if not counts and not self._ledger.is_cancelled(self._fusion_id):
            raise Superseded

    @contextmanager
    def measured(self, step: str, *, metric: str = "") -> Iterator[dict[str, object]]:
        """Tell how long the work inside took, and what it put into the dict that is yielded.

        The work counts under `metric`, which has few values, or else under the step's name.
        """
        finding: dict[str, object] = {}
        began = monotonic()
        with job_step(metric or step):
            yield finding
        told = partial(
            self._ledger.step_done,
            self._fusion_id,
            step,
            monotonic() - began,
            finding or None,
            attempt=self._attempt,
        )
        # Here, so that a ledger that is away doesn't have the work done once more.
        self._patience(told)
