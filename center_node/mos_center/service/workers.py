"""Who works at a center: what workers tell of themselves, and admins read."""

from __future__ import annotations

from datetime import timedelta

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.ports import Database
from mos_center.domain.workers import WorkerRecord

KEPT = timedelta(days=30)
"""How long a worker that is not heard of any more is remembered."""


class WorkerService:
    """The use cases of admins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, *, caller: Caller) -> tuple[WorkerRecord, ...]:
        """Every worker that was heard of within 30 days, by name."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.workers.all()


class WorkerLedgerService:
    """Implements `domain.ports.WorkerLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, record: WorkerRecord) -> None:
        with self._database.note() as transaction:
            transaction.workers.write(record)
            # A handful of rows: looking through them costs nothing.
            transaction.workers.prune(record.seen_at - KEPT)
