"""When a worker counts as alive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from mos_center.domain.workers import WorkerRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORKER = WorkerRecord("left", "host", 7, "cpu", "0.1", "", NOW - timedelta(hours=1), NOW)


@pytest.mark.parametrize(("seconds", "alive"), [(0, True), (30, True), (31, False)])
def test_a_worker_is_alive_as_long_as_it_is_heard_of(seconds: int, alive: bool) -> None:
    assert WORKER.is_alive(NOW + timedelta(seconds=seconds)) is alive


def test_a_worker_that_stopped_is_not_alive() -> None:
    assert not replace(WORKER, stopped_at=NOW).is_alive(NOW)
