"""Workers tell of themselves, and admins see who works."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from callers import ADA, RITA
from mos_center.domain.access import LOCAL, Caller
from mos_center.domain.workers import WorkerRecord
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.workers import KEPT, WorkerLedgerService
from mos_protocol.errors import PermissionDenied

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LEFT = WorkerRecord("left", "host", 7, "cpu", "0.1", "", NOW, NOW)


def test_what_a_worker_tells_is_seen_until_it_was_silent_for_long(
    data: OpenedData, center: Center
) -> None:
    ledger = WorkerLedgerService(data.database)
    ledger.beat(LEFT)
    later = replace(LEFT, executor="right", seen_at=NOW + KEPT)

    ledger.beat(later)
    both = center.workers.all(caller=LOCAL)
    ledger.beat(replace(later, seen_at=later.seen_at + timedelta(seconds=1)))

    assert [worker.executor for worker in both] == ["left", "right"]
    assert [worker.executor for worker in center.workers.all(caller=LOCAL)] == ["right"]


@pytest.mark.parametrize("caller", [ADA, RITA])
def test_only_admins_see_who_works(center: Center, caller: Caller) -> None:
    with pytest.raises(PermissionDenied):
        center.workers.all(caller=caller)
