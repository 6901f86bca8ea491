"""The states of a submission and of a fusion, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

from mos_protocol.errors import Conflict


class SubmissionState(StrEnum):
    """Where a concept package stands between its offer and its use."""

    UPLOADING = "uploading"
    VALIDATING = "validating"
    PENDING_REVIEW = "pending_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class FusionState(StrEnum):
    """Where a requested fusion stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHED = "published"
    FAILED = "failed"
    CANCELLED = "cancelled"


SUBMISSION_TRANSITIONS: dict[SubmissionState, frozenset[SubmissionState]] = {
    SubmissionState.UPLOADING: frozenset({SubmissionState.VALIDATING, SubmissionState.REJECTED}),
    SubmissionState.VALIDATING: frozenset(
        {
            # Back to uploading when a crash took a file that was already counted as there.
            SubmissionState.UPLOADING,
            SubmissionState.PENDING_REVIEW,
            SubmissionState.APPROVED,
            SubmissionState.REJECTED,
        }
    ),
    SubmissionState.PENDING_REVIEW: frozenset(
        {SubmissionState.APPROVED, SubmissionState.REJECTED, SubmissionState.WITHDRAWN}
    ),
    SubmissionState.APPROVED: frozenset({SubmissionState.WITHDRAWN}),
    # A rejected package may be offered again.
    SubmissionState.REJECTED: frozenset({SubmissionState.UPLOADING}),
    SubmissionState.WITHDRAWN: frozenset(),
}

FUSION_TRANSITIONS: dict[FusionState, frozenset[FusionState]] = {
    FusionState.QUEUED: frozenset({FusionState.RUNNING, FusionState.FAILED, FusionState.CANCELLED}),
    FusionState.RUNNING: frozenset(
        {FusionState.PUBLISHED, FusionState.FAILED, FusionState.CANCELLED}
    ),
    FusionState.PUBLISHED: frozenset(),
    # A failed fusion may be started over.
    FusionState.FAILED: frozenset({FusionState.QUEUED}),
    FusionState.CANCELLED: frozenset(),
}

CATALOGUED = frozenset(
    {SubmissionState.PENDING_REVIEW, SubmissionState.APPROVED, SubmissionState.WITHDRAWN}
)
"""The submissions that appear among the concepts: validated, and not refused."""

SHOWN_TO_OTHERS = frozenset({SubmissionState.APPROVED, SubmissionState.WITHDRAWN})
"""The submissions that others than their owner may see, as far as the concept is shown."""

UNFINISHED = frozenset({FusionState.QUEUED, FusionState.RUNNING})


def is_finished(state: FusionState) -> bool:
    """Whether nothing follows `state` by itself."""
    return state not in UNFINISHED


def check_submission_transition(before: SubmissionState, after: SubmissionState) -> None:
    """Raise `Conflict` when a submission can't go from `before` to `after`."""
    if after not in SUBMISSION_TRANSITIONS[before]:
        raise Conflict(
            f"The submission is {before.value} and can't become {after.value}.",
            hint=_allowed(SUBMISSION_TRANSITIONS[before]),
        )


def check_fusion_transition(before: FusionState, after: FusionState) -> None:
    """Raise `Conflict` when a fusion can't go from `before` to `after`."""
    if after not in FUSION_TRANSITIONS[before]:
        raise Conflict(
            f"The fusion is {before.value} and can't become {after.value}.",
            hint=_allowed(FUSION_TRANSITIONS[before]),
        )


def _allowed(states: frozenset[SubmissionState] | frozenset[FusionState]) -> str:
    names = sorted(state.value for state in states)
    return f"It can only become {' or '.join(names)}." if names else "This state is final."
