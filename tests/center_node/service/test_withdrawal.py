from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from callers import ADA, BOB, EVE, RITA
from center_steps import fuse, request, store, stored
from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.models import Submission
from mos_center.domain.policy import Withdrawal
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.settings import Settings
from mos_protocol.errors import Conflict, Gone, InvalidRequest, NotFound, PermissionDenied
from mos_protocol.manifest import Manifest

CAT, POTTER = "bob/cat@1", "ada/potter@1"


@pytest.fixture
def two_concepts(submit: Callable[..., Submission], center: Center) -> None:
    """ada's potter and bob's cat, which everybody sees."""
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="bob/cat", words=("<cat>",))
    for owner, name in (("ada", "potter"), ("bob", "cat")):
        center.concepts.show(owner, name, Visibility.PUBLIC, caller=LOCAL)


def withdraw(center: Center, caller: Any = ADA) -> Any:
    return center.withdrawal.withdraw("ada", "potter", 1, "no consent any more", caller=caller)


def test_a_withdrawn_concept_is_listed_with_its_reason_and_cannot_be_fused(
    center: Center, two_concepts: None
) -> None:
    withdrawn = withdraw(center)

    shown = center.concepts.get("ada", "potter", 1, caller=BOB)
    assert (shown.state, shown.reason) == (SubmissionState.WITHDRAWN, "no consent any more")
    assert withdrawn.concept.withdrawn_at is not None
    with pytest.raises(InvalidRequest, match="ada/potter@1 is withdrawn"):
        request(center, "demo", [POTTER])


def test_its_versions_are_named_and_give_no_files_out_any_more(
    center: Center, data: OpenedData, two_concepts: None
) -> None:
    fuse(center, data, "both", [POTTER, CAT])
    fuse(center, data, "cats", [CAT])
    center.aliases.point("both", "champion", 1, LOCAL)

    (affected,) = withdraw(center).affected

    assert (affected.version.model, affected.remaining) == ("both", 1)
    assert affected.version.aliases == ("champion",)
    told = center.models.get("both", "champion", caller=BOB)
    assert told.tombstone_reason == "ada/potter@1 was withdrawn: no consent any more"
    with pytest.raises(Gone, match=r"both@1 was withdrawn: ada/potter@1 was withdrawn"):
        center.models.file("both", "champion", "weights.bin", caller=BOB)
    assert center.models.file("cats", "1", "weights.bin", caller=BOB)


def test_a_center_may_keep_versions_that_contain_it(
    settings: Settings, data: OpenedData, center: Center, two_concepts: None
) -> None:
    keeping = OpenedData(settings.model_copy(update={"withdrawal": Withdrawal.KEEP})).center()
    fuse(center, data, "demo", [POTTER])

    (affected,) = withdraw(keeping).affected

    assert (affected.version.model, affected.version.tombstoned_at) == ("demo", None)
    assert center.models.file("demo", "1", "weights.bin", caller=LOCAL)


def test_files_go_with_it_unless_something_else_refers_to_them(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    one = submit(concept="ada/potter", seed=7)
    other = submit(concept="bob/same", seed=7)

    withdraw(center)

    assert stored(data) == {entry.sha256 for entry in other.manifest.files}
    assert {entry.sha256 for entry in one.manifest.files} == stored(data)
    center.withdrawal.withdraw("bob", "same", 1, "too", caller=BOB)
    assert stored(data) == set()


def test_previews_of_a_withdrawn_concept_are_gone(center: Center, two_concepts: None) -> None:
    withdraw(center)

    with pytest.raises(Gone, match="ada/potter@1 was withdrawn"):
        center.concepts.preview("ada", "potter", 1, "previews/0.7.png", caller=ADA)


def test_unfinished_fusions_with_it_fail_and_say_why(
    center: Center, data: OpenedData, queue: Any, two_concepts: None
) -> None:
    queued = request(center, "waiting", [POTTER, CAT])
    running = request(center, "running", [POTTER])
    untouched = request(center, "cats", [CAT])
    data.ledger().started(running.id)

    ended = withdraw(center).ended_fusions

    assert set(ended) == set(queue.cancelled) == {queued.id, running.id}
    for fusion_id in ended:
        fusion = center.fusions.get(fusion_id, caller=LOCAL)
        assert fusion.state is FusionState.FAILED
        assert fusion.error is not None
        assert "ada/potter@1 was withdrawn: no consent any more" in fusion.error.message
    assert center.fusions.get(untouched.id, caller=LOCAL).state is FusionState.QUEUED
    with pytest.raises(Conflict):
        data.ledger().publish(running.id, [store(data, "weights.bin", b"late")], {})
    with pytest.raises(Conflict, match="ada/potter@1 is withdrawn"):
        center.fusions.retry(running.id, LOCAL)


def test_what_waits_for_review_can_be_withdrawn_too(
    data: OpenedData, center: Center, submit: Callable[..., Submission]
) -> None:
    submission = submit(concept="ada/potter")
    with data.database.write() as transaction:
        transaction.submissions.update(replace(submission, state=SubmissionState.PENDING_REVIEW))

    assert withdraw(center).concept.state is SubmissionState.WITHDRAWN


def test_only_the_owner_and_curators_withdraw(center: Center, two_concepts: None) -> None:
    center.concepts.show("ada", "potter", Visibility.PRIVATE, caller=ADA)
    with pytest.raises(NotFound):
        withdraw(center, EVE)
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=ADA)
    with pytest.raises(PermissionDenied, match="ada/potter belongs to ada"):
        withdraw(center, EVE)

    assert withdraw(center, RITA).concept.state is SubmissionState.WITHDRAWN


def test_withdrawing_again_gives_the_same_answer_and_keeps_the_first_reason(
    center: Center, data: OpenedData, two_concepts: None
) -> None:
    fuse(center, data, "demo", [POTTER])
    first = withdraw(center)

    again = center.withdrawal.withdraw("ada", "potter", 1, "another reason", caller=ADA)

    assert again == first


def test_a_withdrawn_package_does_not_come_back(center: Center, two_concepts: None) -> None:
    manifest: Manifest = withdraw(center).concept.manifest

    with pytest.raises(Conflict, match="is ada/potter@1, which was withdrawn: no consent"):
        center.submissions.offer(manifest.to_bytes(), caller=ADA)


def test_withdrawal_and_tombstones_are_in_the_audit_log(
    center: Center, data: OpenedData, two_concepts: None
) -> None:
    fuse(center, data, "demo", [POTTER])
    withdraw(center)

    with data.database.read() as transaction:
        entries = transaction.audit.entries(limit=100)
    told = {(entry.event.actor, entry.event.action) for entry in entries}
    assert ("ada", "submission.withdrawn") in told
    assert ("ada", "version.tombstoned") in told
