"""Fusions and how far they are."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from mos_center.dashboard.pages import CenterHere, SignedFields, VisitorHere, redirect, render
from mos_center.domain.states import UNFINISHED, FusionState

router = APIRouter()

PAGE = 50


@router.get("/fusions")
def fusions_page(
    request: Request, center: CenterHere, visitor: VisitorHere, before: str | None = None
) -> Response:
    found = center.fusions.find(
        states=list(FusionState), caller=visitor.caller, before=before, limit=PAGE
    )
    return render(
        request,
        "fusions.html",
        visitor=visitor,
        fusions=found,
        unfinished=UNFINISHED,
        next_page=found[-1].id if len(found) == PAGE else None,
    )


@router.post("/fusions/{fusion_id}/cancel")
def cancel(
    fusion_id: str, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    center.fusions.cancel(fusion_id, visitor.caller)
    return redirect("fusions")
