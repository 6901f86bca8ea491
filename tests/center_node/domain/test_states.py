from __future__ import annotations

import pytest
from mos_center.domain.states import (
    FUSION_TRANSITIONS,
    SUBMISSION_TRANSITIONS,
    FusionState,
    SubmissionState,
    check_fusion_transition,
    check_submission_transition,
    is_finished,
)
from mos_protocol.errors import Conflict


def test_every_state_says_what_may_follow() -> None:
    assert SUBMISSION_TRANSITIONS.keys() == set(SubmissionState)
    assert FUSION_TRANSITIONS.keys() == set(FusionState)


def test_a_package_passes_validation_before_it_is_approved() -> None:
    check_submission_transition(SubmissionState.UPLOADING, SubmissionState.VALIDATING)
    check_submission_transition(SubmissionState.VALIDATING, SubmissionState.APPROVED)

    with pytest.raises(Conflict, match=r"uploading and can't become approved.*rejected or valid"):
        check_submission_transition(SubmissionState.UPLOADING, SubmissionState.APPROVED)


@pytest.mark.parametrize("state", [FusionState.PUBLISHED, FusionState.CANCELLED])
def test_a_finished_fusion_stays_as_it_is(state: FusionState) -> None:
    assert is_finished(state)
    for other in FusionState:
        with pytest.raises(Conflict, match="final"):
            check_fusion_transition(state, other)


def test_a_failed_fusion_ends_there_unless_it_is_started_over() -> None:
    assert is_finished(FusionState.FAILED)
    check_fusion_transition(FusionState.FAILED, FusionState.QUEUED)
    with pytest.raises(Conflict, match="only become queued"):
        check_fusion_transition(FusionState.FAILED, FusionState.RUNNING)


def test_a_queued_fusion_is_not_published_without_running() -> None:
    assert not is_finished(FusionState.QUEUED)
    with pytest.raises(Conflict):
        check_fusion_transition(FusionState.QUEUED, FusionState.PUBLISHED)
