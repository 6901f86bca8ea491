"""Submissions, and what reviewers decide about them."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from fastapi import APIRouter

from mos_center.api.rest.context import (
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Name,
    Page,
    Reason,
    needs_token,
    problems,
)
from mos_center.domain import models
from mos_center.domain.states import SubmissionState
from mos_center.service.submissions import unsaid

router = APIRouter(prefix="/v1/submissions", tags=["submissions"], dependencies=[needs_token])


class Submission(Answer):
    """A package that was offered; it has a version once it passed validation."""

    id: str
    concept: str
    version: int | None
    base: str
    state: SubmissionState
    reason: str
    manifest_digest: str
    submitted_by: str
    created_at: datetime

    @classmethod
    def of(cls, submission: models.Submission) -> Self:
        return cls(
            id=submission.id,
            concept=submission.concept,
            version=submission.version,
            base=submission.base,
            state=submission.state,
            reason=submission.reason,
            manifest_digest=submission.manifest_digest,
            submitted_by=submission.submitted_by,
            created_at=submission.created_at,
        )


class SubmissionDetail(Submission):
    """A submission as its reviewers need it.

    `previews` are addresses of pictures, once there are some to be seen. `warnings` say what its
    submitter left unsaid.
    """

    owner: str
    words: list[str]
    class_word: str
    size: int
    licence: str
    consent: str
    description: str
    previews: list[str]
    warnings: list[str]

    @classmethod
    def of(cls, submission: models.Submission) -> Self:
        manifest = submission.manifest
        return cls(
            **Submission.of(submission).model_dump(),
            owner=submission.owner,
            words=list(manifest.words),
            class_word=manifest.class_word,
            size=submission.size,
            licence=manifest.licence,
            consent=manifest.consent,
            description=manifest.description,
            previews=_previews(submission),
            warnings=list(unsaid(manifest)),
        )


class Refusal(Body):
    reason: Reason


@router.get("", responses=problems())
def list_submissions(
    center: CenterHere,
    caller: Caller,
    state: SubmissionState | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Submission]:
    """Submissions, newest first."""
    states = [state] if state else list(SubmissionState)
    found = center.submissions.find(states=states, caller=caller, before=cursor, limit=limit)
    return Page(
        items=[Submission.of(item) for item in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/{submission_id}", responses=problems(404))
def get_submission(submission_id: Name, center: CenterHere, caller: Caller) -> SubmissionDetail:
    """One submission, with what reviewers look at."""
    return SubmissionDetail.of(center.submissions.get(submission_id, caller=caller))


@router.post("/{submission_id}/approve", responses=problems(404, 409))
def approve(submission_id: Name, center: CenterHere, caller: Caller) -> SubmissionDetail:
    """Let the concept be fused."""
    return SubmissionDetail.of(center.submissions.approve(submission_id, caller))


@router.post("/{submission_id}/reject", responses=problems(404, 409))
def reject(
    submission_id: Name, body: Refusal, center: CenterHere, caller: Caller
) -> SubmissionDetail:
    """Refuse the concept and delete its files."""
    return SubmissionDetail.of(center.submissions.reject(submission_id, body.reason, caller))


def _previews(submission: models.Submission) -> list[str]:
    if submission.state not in (SubmissionState.PENDING_REVIEW, SubmissionState.APPROVED):
        return []
    folder = f"/v1/concepts/{submission.concept}/{submission.version}/files"
    return [f"{folder}/{file.path}" for file in submission.manifest.previews]
