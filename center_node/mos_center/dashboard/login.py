"""Logging in with a token, and out."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from mos_protocol.errors import Unauthenticated

from mos_center.dashboard.listing import Text
from mos_center.dashboard.rendering import redirect, render, set_session
from mos_center.dashboard.visitor import (
    COOKIE,
    PATH,
    CenterHere,
    SignedFields,
    UnsignedFields,
    VisitorHere,
)

router = APIRouter()


@router.get("/login")
def login_page(request: Request, then: Text = "") -> Response:
    """Ask for a token; `then` is the page that the visitor wanted."""
    return render(request, "login.html", problem="", then=_own_page(then))


@router.post("/login")
async def log_in(request: Request, fields: UnsignedFields, center: CenterHere) -> Response:
    """Open a session and lead on to the page that the visitor wanted."""
    then = _own_page(fields.text("then"))
    try:
        cookie = await run_in_threadpool(center.tokens.log_in, fields.text("token"))
    except Unauthenticated as error:
        return render(request, "login.html", status=401, problem=str(error), then=then)
    response = redirect(request, None, then)
    set_session(request, response, cookie)
    return response


@router.post("/logout")
def log_out(
    request: Request, fields: SignedFields, visitor: VisitorHere, center: CenterHere
) -> Response:
    """Close the session."""
    center.tokens.log_out(visitor.cookie)
    response = redirect(request, None, "login")
    response.delete_cookie(COOKIE, path=PATH)
    return response


def _own_page(address: str) -> str:
    """The page of the dashboard that the address means, relative to its root; "" for the rest."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not parts.path.startswith(f"{PATH}/"):
        return ""
    page = parts.path.removeprefix(f"{PATH}/")
    return f"{page}?{parts.query}" if parts.query else page
