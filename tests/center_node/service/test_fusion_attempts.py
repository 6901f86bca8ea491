"""Attempts of workers at a fusion: what counts, what is given up, what can be retried."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mos_center.domain.access import LOCAL, Caller, Role, scopes_of
from mos_center.domain.jobs import Job
from mos_center.domain.models import Fusion, Priority, PublishedFile, Submission
from mos_center.domain.states import FusionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_ledger import MAX_DEATHS, FusionLedgerService
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import Conflict, JobFailed, PermissionDenied
from mos_protocol.names import Digest


@pytest.fixture
def ledger(data: OpenedData) -> FusionLedgerService:
    return data.ledger()


@pytest.fixture
def request_fusion(center: Center, submit: Callable[..., Submission]) -> Callable[..., Fusion]:
    submit()

    def request(model: str = "demo", priority: Priority = Priority.NORMAL) -> Fusion:
        wanted = [WantedConcept("ada/potter")]
        asked = FusionRequest(model, "small", wanted, priority=priority)
        return center.fusions.request(asked, caller=LOCAL)[0]

    return request


@pytest.fixture
def fusion(request_fusion) -> Fusion:
    return request_fusion()


@pytest.fixture
def files(data: OpenedData, tmp_path: Path) -> list[PublishedFile]:
    content = b"a model"
    digest = Digest(hashlib.sha256(content).hexdigest())
    (tmp_path / "file").write_bytes(content)
    data.blobs.put_file(tmp_path / "file", digest)
    return [PublishedFile("model.safetensors", len(content), digest)]


def begin(ledger: FusionLedgerService, job_id: str) -> int:
    attempt = ledger.begin(job_id)
    assert attempt is not None
    ledger.started(job_id.partition(".")[0])
    return attempt.number


def test_what_an_earlier_attempt_tells_is_ignored(ledger, fusion, center, files):
    first, second = begin(ledger, fusion.id), begin(ledger, fusion.id)

    assert not ledger.progress(fusion.id, 1, 3, "old", attempt=first)
    assert ledger.progress(fusion.id, 2, 3, "new", attempt=second)
    ledger.failed(fusion.id, JobFailed("old"), attempt=first)
    with pytest.raises(Conflict, match="another worker"):
        ledger.publish(fusion.id, files, {}, attempt=first)
    shown = center.fusions.get(fusion.id, caller=LOCAL)

    assert (shown.state, shown.progress.message) == (FusionState.RUNNING, "new")
    assert ledger.publish(fusion.id, files, {}, attempt=second) == 1


def test_a_fusion_whose_workers_die_at_one_step_is_given_up(ledger, fusion, center):
    for _ in range(MAX_DEATHS):
        number = begin(ledger, fusion.id)
        ledger.progress(fusion.id, 0, 3, "fuse mid_block", attempt=number)

    assert ledger.begin(fusion.id) is None
    failed = center.fusions.get(fusion.id, caller=LOCAL)

    assert (failed.state, failed.attempts) == (FusionState.FAILED, MAX_DEATHS)
    assert failed.error is not None
    assert "died 3 times at 'fuse mid_block'" in failed.error.message


def test_a_fusion_that_comes_further_each_time_is_not_given_up(ledger, fusion):
    for done in range(1, 3 * MAX_DEATHS):
        number = begin(ledger, fusion.id)
        ledger.progress(fusion.id, done, 100, "fuse", attempt=number)

    assert ledger.begin(fusion.id) is not None


def test_a_worker_that_stops_in_order_is_not_counted_as_dead(ledger, fusion):
    for _ in range(3 * MAX_DEATHS):
        ledger.paused(fusion.id, begin(ledger, fusion.id))

    assert ledger.begin(fusion.id) is not None


def test_a_failed_fusion_is_queued_again_under_a_new_job(ledger, fusion, center, queue):
    begin(ledger, fusion.id)
    ledger.failed(fusion.id, JobFailed("Once."))

    again = center.fusions.retry(fusion.id, LOCAL)
    center.fusions.retry(fusion.id, LOCAL)

    assert (again.state, again.error, again.progress.done) == (FusionState.QUEUED, None, 0)
    job = f"{fusion.id}.1"
    assert queue.enqueued == [fusion.id, job, job]
    assert ledger.unfinished() == (Job(job),)
    assert ledger.begin(fusion.id) is None
    ledger.lost(fusion.id)
    assert begin(ledger, job) == 2


def test_only_a_failed_fusion_can_be_retried(ledger, fusion, center):
    begin(ledger, fusion.id)

    with pytest.raises(Conflict, match="running"):
        center.fusions.retry(fusion.id, LOCAL)


def test_a_fusion_that_was_requested_anew_is_not_retried(ledger, request_fusion, center):
    fusion = request_fusion()
    ledger.failed(fusion.id, JobFailed("Once."))
    other = request_fusion()

    with pytest.raises(Conflict, match=other.id):
        center.fusions.retry(fusion.id, LOCAL)


def test_a_fusion_is_retried_by_its_requester_or_a_curator(ledger, fusion, center):
    ledger.failed(fusion.id, JobFailed("Once."))
    ada = Caller("ada", Role.MEMBER, scopes_of(Role.MEMBER))

    with pytest.raises(PermissionDenied):
        center.fusions.retry(fusion.id, ada)


def test_the_place_in_the_queue_counts_those_that_go_first(ledger, request_fusion, center):
    priorities = [Priority.NORMAL, Priority.LOW, Priority.HIGH, Priority.NORMAL]
    fusions = [request_fusion(f"m{number}", one) for number, one in enumerate(priorities)]
    places = [center.fusions.get(one.id, caller=LOCAL).queue_position for one in fusions]
    begin(ledger, fusions[2].id)
    listed = center.fusions.find(states=list(FusionState), caller=LOCAL, limit=10)

    assert places == [2, 4, 1, 3]
    assert {one.model: one.queue_position for one in listed} == {
        "m0": 1,
        "m1": 3,
        "m2": None,
        "m3": 2,
    }


def test_the_time_left_follows_from_the_blocks_that_are_done(ledger, fusion, center):
    number = begin(ledger, fusion.id)
    ledger.progress(fusion.id, 2, 10, "fuse", attempt=number)
    shown = center.fusions.get(fusion.id, caller=LOCAL)
    now = datetime.now(UTC)

    assert replace(shown, started_at=now - timedelta(seconds=20)).seconds_left(now) == 80
    assert replace(shown, state=FusionState.PUBLISHED).seconds_left(now) is None
    assert fusion.seconds_left(now) is None
