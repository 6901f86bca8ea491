"""The first page: what waits for its reader, what runs, what failed; it stays live."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from mos_center.dashboard.concepts.catalogue import card_picture
from mos_center.dashboard.rendering import render, render_text
from mos_center.dashboard.streaming import streamed
from mos_center.dashboard.visitor import CenterHere, Visitor, VisitorHere
from mos_center.domain.overview import Overview

router = APIRouter()

# Many keep it open all day.
SLOWEST_POLL = 5.0


@router.get("/")
def overview_page(request: Request, center: CenterHere, visitor: VisitorHere) -> Response:
    """The center at one glance."""
    return render(
        request,
        "overview/page.html",
        visitor=visitor,
        now=center.overview.of(visitor.caller),
        picture=card_picture,
    )


@router.get("/overview/events")
def overview_events(request: Request, center: CenterHere) -> StreamingResponse:
    """The same parts again, whenever something has changed."""
    return streamed(
        request, lambda visitor: center.overview.of(visitor.caller), _drawn, slowest=SLOWEST_POLL
    )


def _drawn(now: Overview, visitor: Visitor) -> dict[str, str]:
    html = render_text("overview/_now.html", visitor=visitor, now=now, picture=card_picture)
    return {"now": html}
