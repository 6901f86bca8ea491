"""Submissions, and what reviewers decide about them."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from fastapi import APIRouter
from pydantic import Field

from mos_center.api.rest.context import (
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Page,
    needs_token,
    problems,
)
from mos_center.domain import models
from mos_center.domain.states import SubmissionState

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
            created_at=submission.created_at,
        )


class Refusal(Body):
    reason: str = Field(min_length=1, max_length=2000)


@router.get("", responses=problems())
def list_submissions(
    center: CenterHere,
    state: SubmissionState | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Submission]:
    """Submissions, newest first."""
    states = [state] if state else list(SubmissionState)
    found = center.submissions.find(states=states, before=cursor, limit=limit)
    return Page(
        items=[Submission.of(item) for item in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/{submission_id}", responses=problems(404))
def get_submission(submission_id: str, center: CenterHere) -> Submission:
    """One submission."""
    return Submission.of(center.submissions.get(submission_id))


@router.post("/{submission_id}/approve", responses=problems(404, 409))
def approve(submission_id: str, center: CenterHere, caller: Caller) -> Submission:
    """Let the concept be fused."""
    return Submission.of(center.submissions.approve(submission_id, caller))


@router.post("/{submission_id}/reject", responses=problems(404, 409))
def reject(submission_id: str, body: Refusal, center: CenterHere, caller: Caller) -> Submission:
    """Refuse the concept and delete its files."""
    return Submission.of(center.submissions.reject(submission_id, body.reason, caller))
