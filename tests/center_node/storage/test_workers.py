"""Workers by their names, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mos_center.domain.workers import WorkerRecord
from mos_center.storage.database import SqlDatabase

NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
LEFT = WorkerRecord("left", "host", 7, "cpu", "0.1", "", NOW - timedelta(hours=1), NOW)


def write(database: SqlDatabase, *records: WorkerRecord) -> None:
    with database.note() as transaction:
        for record in records:
            transaction.workers.write(record)


def known(database: SqlDatabase) -> tuple[WorkerRecord, ...]:
    with database.read() as transaction:
        return transaction.workers.all()


def test_a_worker_replaces_what_is_known_under_its_name(database: SqlDatabase) -> None:
    right = replace(LEFT, executor="right", device="NVIDIA H100", job="validate:x")
    again = replace(LEFT, pid=8, job="f.1", seen_at=NOW + timedelta(seconds=9), stopped_at=NOW)

    write(database, right, LEFT, again)

    assert known(database) == (again, right)


def test_workers_that_were_not_heard_of_for_long_are_forgotten(database: SqlDatabase) -> None:
    write(database, LEFT, replace(LEFT, executor="old", seen_at=NOW - timedelta(days=9)))

    with database.write() as transaction:
        assert transaction.workers.prune(NOW - timedelta(days=8)) == 1

    assert known(database) == (LEFT,)
