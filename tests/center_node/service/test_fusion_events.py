"""What is told of a fusion from its request to its end, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from callers import ADA, BOB
from center_steps import store
from mos_center.domain.access import LOCAL, Caller
from mos_center.domain.fusion_events import FusionEvent, PlannedStep
from mos_center.domain.models import Fusion, Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_ledger import MAX_DEATHS, FusionLedgerService
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import JobFailed, NotFound

MID = "fuse unet.mid_block"


@pytest.fixture
def ledger(data: OpenedData) -> FusionLedgerService:
    return data.ledger()


@pytest.fixture
def fusion(center: Center, submit: Callable[..., Submission]) -> Fusion:
    submit()
    request = FusionRequest("demo", "small", [WantedConcept("ada/potter")])
    return center.fusions.request(request, caller=ADA)[0]


@pytest.fixture
def told(center: Center, fusion: Fusion) -> Callable[..., Sequence[FusionEvent]]:
    def events(after: int = 0) -> Sequence[FusionEvent]:
        return center.fusions.events(fusion.id, caller=LOCAL, after=after)

    return events


def kinds(events: Sequence[FusionEvent]) -> list[str]:
    return [event.kind.value for event in events]


def begin(ledger: FusionLedgerService, job_id: str) -> int:
    attempt = ledger.begin(job_id, executor="left")
    assert attempt is not None
    ledger.started(job_id.partition(".")[0])
    return attempt.number


def test_a_fusion_is_told_from_its_request_to_its_publication(
    data: OpenedData, ledger: FusionLedgerService, fusion: Fusion, told: Callable
) -> None:
    number = begin(ledger, fusion.id)
    steps = [PlannedStep(MID, "unet.mid_block"), PlannedStep("storing the model")]
    ledger.planned(fusion.id, steps, attempt=number)
    ledger.progress(fusion.id, 0, 2, MID, attempt=number)
    ledger.step_done(fusion.id, MID, 1.23456, {"kept": {"ada/potter@1": 0.9}}, attempt=number)
    ledger.progress(fusion.id, 1, 2, "storing the model", attempt=number)
    ledger.publish(fusion.id, [store(data, "README.md", b"#")], {}, attempt=number)

    events = told()

    planned = {"steps": [{"name": MID, "block": "unet.mid_block"}]}
    planned["steps"].append({"name": "storing the model", "block": ""})
    assert [(event.kind.value, event.step, event.data) for event in events] == [
        ("requested", "", {"by": "ada"}),
        ("begun", "", {"executor": "left"}),
        ("planned", "", planned),
        ("step_started", MID, None),
        ("step_done", MID, {"seconds": 1.235, "finding": {"kept": {"ada/potter@1": 0.9}}}),
        ("step_started", "storing the model", None),
        ("published", "", {"version": 1}),
    ]
    assert [event.seq for event in events] == list(range(1, 8))
    assert {(event.generation, event.attempt) for event in events[1:]} == {(0, 1)}
    assert told(after=5) == events[5:]


def test_a_request_for_a_known_build_tells_nothing(
    center: Center, fusion: Fusion, told: Callable
) -> None:
    request = FusionRequest("demo", "small", [WantedConcept("ada/potter")], previews=True)

    known, made = center.fusions.request(request, caller=ADA)

    # A wish for previews makes no other build, and is not granted afterwards.
    assert (known.id, made, known.previews) == (fusion.id, False, None)
    assert kinds(told()) == ["requested"]


def test_a_failure_and_a_retry_are_told_with_their_reasons(
    center: Center, ledger: FusionLedgerService, fusion: Fusion, told: Callable
) -> None:
    ledger.failed(
        fusion.id, JobFailed("No room.", hint="Make some."), attempt=begin(ledger, fusion.id)
    )
    center.fusions.retry(fusion.id, ADA)
    center.fusions.retry(fusion.id, ADA)
    begin(ledger, f"{fusion.id}.1")

    failed, retried, begun = told(after=2)

    reason = {"code": "job_failed", "message": "No room.", "hint": "Make some."}
    assert (failed.kind, failed.data) == ("failed", reason)
    assert (retried.kind, retried.data) == ("retried", {"by": "ada"})
    assert [(event.generation, event.attempt) for event in (failed, retried, begun)] == [
        (0, 1),
        (1, 1),
        (1, 2),
    ]


def test_a_fusion_that_kills_its_workers_is_told_to_have_failed(
    ledger: FusionLedgerService, fusion: Fusion, told: Callable
) -> None:
    for _ in range(MAX_DEATHS):
        begin(ledger, fusion.id)
    ledger.begin(fusion.id)

    assert kinds(told()) == ["requested", *["begun"] * MAX_DEATHS, "failed"]


def test_a_cancellation_and_a_pause_are_told(
    center: Center, ledger: FusionLedgerService, fusion: Fusion, told: Callable
) -> None:
    ledger.paused(fusion.id, begin(ledger, fusion.id))
    center.fusions.cancel(fusion.id, LOCAL)
    center.fusions.cancel(fusion.id, LOCAL)

    assert kinds(told()) == ["requested", "begun", "paused", "cancelled"]
    assert told()[-1].data == {"by": LOCAL.name}


def test_a_withdrawn_concept_is_the_reason_that_is_told(
    center: Center, fusion: Fusion, told: Callable
) -> None:
    center.withdrawal.withdraw("ada", "potter", 1, "no consent", caller=ADA)

    (event,) = told(after=1)

    assert event.kind == "failed"
    assert event.data is not None
    assert event.data["code"] == "gone"


def test_what_another_attempt_or_an_ended_fusion_tells_is_not_written(
    center: Center, ledger: FusionLedgerService, fusion: Fusion, told: Callable
) -> None:
    first, second = begin(ledger, fusion.id), begin(ledger, fusion.id)

    def tell(attempt: int) -> None:
        ledger.planned(fusion.id, [PlannedStep(MID)], attempt=attempt)
        ledger.progress(fusion.id, 0, 2, MID, attempt=attempt)
        ledger.step_done(fusion.id, MID, 1.0, attempt=attempt)
        ledger.paused(fusion.id, attempt)

    tell(first)
    before = kinds(told())
    center.fusions.cancel(fusion.id, LOCAL)
    tell(second)

    assert before == ["requested", "begun", "begun"]
    assert kinds(told(after=3)) == ["cancelled"]


@pytest.mark.parametrize("caller", [ADA, LOCAL])
def test_whoever_may_read_the_fusion_reads_its_events(
    center: Center, fusion: Fusion, caller: Caller
) -> None:
    assert kinds(center.fusions.events(fusion.id, caller=caller)) == ["requested"]


def test_others_are_told_that_there_is_no_such_fusion(center: Center, fusion: Fusion) -> None:
    with pytest.raises(NotFound):
        center.fusions.events(fusion.id, caller=BOB)
