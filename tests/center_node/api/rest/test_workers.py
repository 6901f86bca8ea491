from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mos_center.domain.workers import WorkerRecord
from mos_center.service.workers import WorkerLedgerService


async def test_workers_are_listed_by_name_with_whether_they_are_alive(running: Any) -> None:
    now = datetime.now(UTC)
    left = WorkerRecord("left", "host", 7, "cpu", "0.1", "some-fusion", now, now)
    silent = replace(left, executor="silent", seen_at=now - timedelta(minutes=1))
    ledger = WorkerLedgerService(running.data.database)
    for worker in (replace(left, executor="stopped", stopped_at=now), silent, left):
        ledger.beat(worker)

    page = (await running.http.get("/v1/workers")).json()

    assert page["next_cursor"] is None
    assert [(item["executor"], item["alive"]) for item in page["items"]] == [
        ("left", True),
        ("silent", False),
        ("stopped", False),
    ]
    first = page["items"][0]
    assert (first["host"], first["pid"], first["device"]) == ("host", 7, "cpu")
    assert (first["version"], first["job"], first["stopped_at"]) == ("0.1", "some-fusion", None)
    assert datetime.fromisoformat(first["seen_at"]) == now
