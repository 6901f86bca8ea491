"""A worker tells that it is there and what it does, whatever becomes of whom it tells."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from center_folder import CenterFolder
from many_workers import until
from mos_center.domain.access import LOCAL
from mos_center.domain.jobs import VALIDATION, other_job
from mos_center.domain.workers import WorkerRecord
from mos_center.jobs.heartbeat import Heartbeat
from mos_center.opening import OpenedData, opened
from mos_center.service.workers import WorkerLedgerService
from mos_center.settings import Settings
from mos_protocol.errors import Unavailable

THEN = datetime(2026, 3, 1, tzinfo=UTC)
WORKER = WorkerRecord("worker-0", "host", 7, "cpu", "0.1", "", THEN, THEN)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[OpenedData]:
    with opened(Settings(data=tmp_path / "data", worker=False)) as found:
        yield found


@pytest.fixture
def heard(data: OpenedData) -> Callable[[], WorkerRecord]:
    """What was last heard of the worker."""
    return lambda: data.center().workers.all(caller=LOCAL)[0]


def test_a_worker_is_heard_of_from_its_start_to_its_end(
    center: CenterFolder, data: OpenedData, heard: Callable[[], WorkerRecord]
) -> None:
    reached, go = threading.Event(), threading.Event()

    def hold(message: str) -> None:
        if message == "fuse unet.mid_block":
            reached.set()
            assert go.wait(240)

    heart = Heartbeat(WorkerLedgerService(data.database), WORKER, every=60, least=0.01)
    worker = center.worker(hold, heart)
    began = datetime.now(UTC)
    worker.start()
    assert reached.wait(240)
    until(lambda: heard().job == "first")
    working = heard()
    go.set()
    center.finish("first")
    until(lambda: heard().job == "")
    worker.stop()
    stopped = heard()

    assert working.is_alive(datetime.now(UTC))
    assert began <= working.started_at <= working.seen_at
    assert (working.executor, working.host, working.device) == ("worker-0", "host", "cpu")
    assert stopped.stopped_at is not None
    assert stopped.started_at == working.started_at <= stopped.stopped_at


def test_a_worker_that_only_waits_is_heard_of_again_and_again(
    data: OpenedData, heard: Callable[[], WorkerRecord]
) -> None:
    heart = Heartbeat(WorkerLedgerService(data.database), WORKER, every=0.05, least=0.01)
    heart.start()
    until(lambda: bool(data.center().workers.all(caller=LOCAL)))
    first = heard().seen_at

    until(lambda: heard().seen_at > first)
    heart.stop()

    assert heard().stopped_at is not None


def test_of_a_fusion_and_a_validation_side_by_side_the_fusion_is_told(
    data: OpenedData, heard: Callable[[], WorkerRecord]
) -> None:
    heart = Heartbeat(WorkerLedgerService(data.database), WORKER, every=60, least=0.01)
    heart.start()
    validation = other_job(VALIDATION, "one")

    with heart.doing(validation):
        until(lambda: bool(data.center().workers.all(caller=LOCAL)))
        until(lambda: heard().job == validation)
        with heart.doing("fusion.1"):
            until(lambda: heard().job == "fusion.1")
        until(lambda: heard().job == validation)
    heart.stop()

    assert heard().job == ""


def test_a_ledger_that_is_away_costs_beats_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heart = Heartbeat(away := AwayLedger(2), WORKER, every=0.05, least=0.01)
    heart.start()
    until(lambda: len(away.heard) > 1)
    away.refusals = 1

    heart.stop()

    told = "worker.beat_failed reason=The database is away."
    assert caplog.messages.count(told) == 3
    assert all(record.stopped_at is None for record in away.heard)


def test_a_heart_that_never_beat_stops_without_a_word() -> None:
    Heartbeat(ledger := AwayLedger(0), WORKER).stop()

    assert ledger.heard == []


class AwayLedger:
    """Implements `domain.ports.WorkerLedger`; refuses as often as it is told."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.heard: list[WorkerRecord] = []

    def beat(self, record: WorkerRecord) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("The database is away.")
        self.heard.append(record)
