"""The page of one fusion's job: it is followed live until it ends, cancelled, tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from mos_center.dashboard.fusions.job import Job, JobReader, kept_map, log_of, steps_of
from mos_center.dashboard.rendering import Told, page_path, redirect, render, render_text
from mos_center.dashboard.streaming import streamed
from mos_center.dashboard.visitor import CenterHere, SignedFields, Visitor, VisitorHere

router = APIRouter()

PARTS = ("state", "kept", "steps", "log")


@router.get("/fusions/{fusion_id}")
def fusion_page(
    fusion_id: str, request: Request, center: CenterHere, visitor: VisitorHere
) -> Response:
    """All that is known of a fusion."""
    job = JobReader(center, fusion_id).read(visitor.caller)
    return render(request, "fusion/page.html", visitor=visitor, **_content(job, visitor))


@router.get("/fusions/{fusion_id}/events")
def fusion_events(
    fusion_id: str, request: Request, center: CenterHere, visitor: VisitorHere
) -> StreamingResponse:
    """The page's parts whenever they change, until the fusion has ended."""
    reader, sent = JobReader(center, fusion_id), dict.fromkeys(PARTS, "")
    reader.read(visitor.caller)

    def draw(job: Job, visitor: Visitor) -> dict[str, str]:
        content = _content(job, visitor)
        parts = {
            name: render_text(f"fusion/_{name}.html", visitor=visitor, **content) for name in PARTS
        }
        changed = {name: html for name, html in parts.items() if html != sent[name]}
        sent.update(changed)
        return changed

    return streamed(request, lambda one: reader.read(one.caller), draw, lambda job: job.is_final)


@router.post("/fusions/{fusion_id}/cancel")
def cancel(
    fusion_id: str, request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Stop it at its next step."""
    fusion = center.fusions.cancel(fusion_id, visitor.caller)
    told = Told(f"The fusion of {fusion.model} is cancelled. A step that runs now ends first.")
    return redirect(request, visitor, page_path("fusions", fusion_id), told)


@router.post("/fusions/{fusion_id}/retry")
def retry(
    fusion_id: str, request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Queue a failed one again, from its start."""
    fusion = center.fusions.retry(fusion_id, visitor.caller)
    told = Told(f"The fusion of {fusion.model} is in the queue again.")
    return redirect(request, visitor, page_path("fusions", fusion_id), told)


def _content(job: Job, visitor: Visitor) -> dict[str, Any]:
    lines, earlier = log_of(job)
    return {
        "fusion": job.fusion,
        "steps": steps_of(job),
        "kept": kept_map(job),
        "lines": lines,
        "earlier": earlier,
        "is_final": job.is_final,
        "is_own": visitor.caller.viewer in (None, job.fusion.requested_by),
        "now": datetime.now(UTC),
    }
