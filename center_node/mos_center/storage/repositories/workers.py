"""Workers by their names."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from mos_center.domain.workers import WorkerRecord
from mos_center.storage.repositories.references import insert_missing
from mos_center.storage.tables import workers


class SqlWorkers:
    """Implements `domain.ports.Workers`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, record: WorkerRecord) -> None:
        row = asdict(record)
        known = update(workers).where(workers.c.executor == record.executor).values(row)
        if not self._connection.execute(known).rowcount:
            insert_missing(self._connection, workers, [row])

    def all(self) -> tuple[WorkerRecord, ...]:
        rows = self._connection.execute(select(workers).order_by(workers.c.executor))
        return tuple(_worker(row) for row in rows)

    def prune(self, before: datetime) -> int:
        found = self._connection.execute(delete(workers).where(workers.c.seen_at < before))
        return found.rowcount


def _worker(row: Row[Any]) -> WorkerRecord:
    return WorkerRecord(**row._mapping)
