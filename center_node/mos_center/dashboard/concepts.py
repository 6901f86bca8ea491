"""Concepts: those that wait for review first, then all."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from mos_protocol.names import Digest

from mos_center.dashboard.pages import CenterHere, SignedFields, VisitorHere, redirect, render
from mos_center.domain.models import Submission
from mos_center.domain.states import SubmissionState

router = APIRouter()

PAGE = 60


@router.get("/concepts")
def concepts_page(
    request: Request, center: CenterHere, visitor: VisitorHere, before: str | None = None
) -> Response:
    waiting = center.submissions.find(
        states=[SubmissionState.PENDING_REVIEW], caller=visitor.caller, limit=PAGE
    )
    others = center.submissions.find(
        states=set(SubmissionState) - {SubmissionState.PENDING_REVIEW},
        caller=visitor.caller,
        before=before,
        limit=PAGE,
    )
    return render(
        request,
        "concepts.html",
        visitor=visitor,
        waiting=waiting,
        others=others,
        preview=_preview,
        next_page=others[-1].id if len(others) == PAGE else None,
    )


@router.post("/concepts/{submission_id}/approve")
def approve(
    submission_id: str, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    center.submissions.approve(submission_id, visitor.caller)
    return redirect("concepts")


@router.post("/concepts/{submission_id}/reject")
def reject(
    submission_id: str, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    reason = fields.get("reason", "").strip()[:2000] or "Rejected without a reason."
    center.submissions.reject(submission_id, reason, visitor.caller)
    return redirect("concepts")


@router.get("/previews/{owner}/{name}/{version}/{path:path}")
def preview_file(
    owner: str, name: str, version: int, path: str, center: CenterHere, visitor: VisitorHere
) -> Response:
    entry = center.concepts.preview(owner, name, version, path, caller=visitor.caller)
    with center.blobs.local_path(Digest(entry.sha256)) as file:
        return FileResponse(
            file, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"}
        )


def _preview(submission: Submission) -> str | None:
    """The picture for a card: at LoRA weight 0.7 if there is one; none before validation."""
    if submission.state not in (SubmissionState.APPROVED, SubmissionState.PENDING_REVIEW):
        return None
    pictures = [
        entry.path for entry in submission.manifest.files if entry.path.startswith("previews/")
    ]
    preferred = [path for path in pictures if "0.7" in path or "0_7" in path]
    return next(iter(preferred or pictures), None)
