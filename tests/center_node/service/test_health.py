"""How a center is, told to admins: what it depends on, and what waits."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from callers import ADA, RITA
from center_steps import request
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Priority, Submission
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.service.health import HealthService
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import newest_revision
from mos_protocol.errors import PermissionDenied


def test_a_healthy_center_tells_what_it_stands_on(center: Center, data: OpenedData) -> None:
    found = center.health.probes(caller=LOCAL)

    assert (found.database.kind, found.store.kind) == (data.database.kind, "directory")
    assert found.revision == newest_revision()
    for probe in (found.database, found.store):
        assert (probe.is_healthy, probe.error) == (True, "")
        assert 0 < probe.milliseconds < 10_000


def test_a_database_that_is_away_is_told_without_its_address(data: OpenedData) -> None:
    away = SqlDatabase("postgresql+psycopg://mos:hunter2@127.0.0.1:1/mos")

    found = HealthService(away, data.blobs).probes(caller=LOCAL)

    assert (found.database.kind, found.revision) == ("postgresql", None)
    assert found.database.error == "The center's database is busy or can't be reached."
    assert found.store.is_healthy
    assert "hunter2" not in repr(found)


def test_a_database_without_a_schema_has_no_revision(center: Center, data: OpenedData) -> None:
    empty = SqlDatabase("sqlite://")

    assert empty.revision() is None
    found = HealthService(empty, data.blobs).probes(caller=LOCAL)
    assert (found.database.is_healthy, found.revision) == (False, None)


def test_a_folder_that_can_not_be_read_is_told(center: Center, data: OpenedData) -> None:
    shutil.rmtree(data.blobs.root)
    # A file of a name that no path may go through.
    data.blobs.root = data.blobs.root.parent / ("x" * 300)

    store = center.health.probes(caller=LOCAL).store

    assert (store.is_healthy, store.error) == (False, "File name too long")


def test_queues_count_what_waits(center: Center, submit: Callable[..., Submission]) -> None:
    submit(concept="ada/hat", words=("<hat>",))
    first = request(center, "one", ["ada/hat@1"])
    request(center, "two", ["ada/hat@1"])
    urgent = FusionRequest("three", "small", [WantedConcept("ada/hat", 1)], priority=Priority.HIGH)
    center.fusions.request(urgent, caller=LOCAL)
    center.fusions.cancel(first.id, LOCAL)
    center.concept_audits.request("ada", "hat", 1, caller=LOCAL)

    queues = center.health.queues(caller=LOCAL)

    assert queues.submissions == {SubmissionState.APPROVED: 1}
    assert queues.fusions == {FusionState.QUEUED: 2, FusionState.CANCELLED: 1}
    assert queues.priorities == {Priority.NORMAL: 1, Priority.HIGH: 1}
    assert queues.oldest is not None
    assert queues.audits == 1


def test_a_center_where_nothing_waits_has_empty_queues(center: Center) -> None:
    queues = center.health.queues(caller=LOCAL)

    assert (queues.priorities, queues.oldest, queues.audits) == ({}, None, 0)


@pytest.mark.parametrize("caller", [ADA, RITA], ids=lambda caller: caller.name)
def test_only_admins_are_told(center: Center, caller: object) -> None:
    with pytest.raises(PermissionDenied):
        center.health.probes(caller=caller)
    with pytest.raises(PermissionDenied):
        center.health.queues(caller=caller)
