"""Audits of statistics: who may ask, what a worker is told, and what is written down."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mos_center.domain.access import LOCAL, Caller, Role, Scope
from mos_center.domain.audits import AuditState
from mos_center.domain.jobs import AUDIT, other_job
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.concept_audits import AuditLedgerService
from mos_protocol.errors import JobFailed, NotFound, PermissionDenied

MEMBER = Caller("ada", Role.MEMBER, frozenset({Scope.CONCEPT_READ, Scope.CONCEPT_WRITE}))
RESULT = {"verdict": "suspicious", "reasons": ["…"], "parts": {}, "worst": []}


@pytest.fixture
def ledger(data: OpenedData) -> AuditLedgerService:
    return AuditLedgerService(data.database)


def test_a_curator_asks_and_a_worker_gets_the_package(
    center: Center, submit: Callable[..., Submission], ledger: AuditLedgerService, queue
) -> None:
    concept = submit()

    audit = center.concept_audits.request("ada", "potter", 1, caller=LOCAL)
    plan = ledger.begin(audit.id)

    assert queue.enqueued == [other_job(AUDIT, audit.id)]
    assert plan is not None
    assert plan.base.name == "small"
    assert plan.concept.manifest == concept.manifest
    assert set(plan.concept.files) == {entry.path for entry in concept.manifest.files}


def test_while_one_is_under_way_asking_again_gives_that_one(
    center: Center, submit: Callable[..., Submission], ledger: AuditLedgerService
) -> None:
    submit()
    first = center.concept_audits.request("ada", "potter", 1, caller=LOCAL)
    assert center.concept_audits.request("ada", "potter", 1, caller=LOCAL).id == first.id

    ledger.done(first.id, RESULT)

    assert center.concept_audits.request("ada", "potter", 1, caller=LOCAL).id != first.id


def test_what_came_of_it_is_shown_and_stays(
    center: Center, submit: Callable[..., Submission], ledger: AuditLedgerService, data: OpenedData
) -> None:
    submit()
    audit = center.concept_audits.request("ada", "potter", 1, caller=LOCAL)
    ledger.begin(audit.id)
    ledger.done(audit.id, RESULT)
    ledger.failed(audit.id, JobFailed("Too late."))

    (shown,) = center.concept_audits.of("ada", "potter", 1, caller=LOCAL)

    assert (shown.state, shown.result) == (AuditState.DONE, RESULT)
    assert shown.finished_at is not None
    assert ledger.begin(audit.id) is None
    assert ledger.unfinished() == ()
    with data.database.read() as transaction:
        events = [entry.event for entry in transaction.audit.entries(limit=100)]
    told = [event for event in events if event.resource == f"concept_audit/{audit.id}"]
    assert [event.action for event in told] == ["concept_audit.queued", "concept_audit.done"]
    assert told[-1].after is not None
    assert told[-1].after["verdict"] == "suspicious"


def test_members_may_neither_ask_nor_look(
    center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    for use in (center.concept_audits.request, center.concept_audits.of):
        with pytest.raises(PermissionDenied):
            use("ada", "potter", 1, caller=MEMBER)


def test_a_concept_that_does_not_exist_can_not_be_audited(center: Center) -> None:
    with pytest.raises(NotFound):
        center.concept_audits.request("ada", "nobody", 1, caller=LOCAL)
