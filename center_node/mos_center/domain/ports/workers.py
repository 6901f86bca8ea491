"""Who works: the repository of workers, and what they tell of themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from mos_center.domain.workers import WorkerRecord


class Workers(Protocol):
    """Workers by their names."""

    def write(self, record: WorkerRecord) -> None:
        """Add it, or replace what is known under its name."""

    def all(self) -> tuple[WorkerRecord, ...]:
        """Every worker that is known, by name."""

    def prune(self, before: datetime) -> int:
        """Forget those that were not heard of since then; return how many."""


class WorkerLedger(Protocol):
    """What a worker tells of itself. Thread-safe."""

    def beat(self, record: WorkerRecord) -> None:
        """Note that it is there, and what it does; raises `Unavailable`."""
