"""Published models with their versions and aliases."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from mos_center.dashboard.pages import CenterHere, VisitorHere, render

router = APIRouter()

PAGE = 50


@router.get("/models")
def models_page(
    request: Request, center: CenterHere, visitor: VisitorHere, after: str | None = None
) -> Response:
    names = center.models.names(caller=visitor.caller, after=after, limit=PAGE)
    return render(
        request,
        "models.html",
        visitor=visitor,
        models=[(name, center.models.versions(name, caller=visitor.caller)) for name in names],
        next_page=names[-1] if len(names) == PAGE else None,
    )
