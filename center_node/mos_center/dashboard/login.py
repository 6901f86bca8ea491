"""Logging in with a token, and out."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from mos_protocol.errors import Unauthenticated

from mos_center.dashboard.pages import (
    COOKIE,
    PATH,
    CenterHere,
    Fields,
    SignedFields,
    VisitorHere,
    redirect,
    render,
    set_cookie,
)

router = APIRouter()


@router.get("/login")
def login_page(request: Request) -> Response:
    return render(request, "login.html", problem="")


@router.post("/login")
async def log_in(request: Request, fields: Fields, center: CenterHere) -> Response:
    try:
        cookie = await run_in_threadpool(center.tokens.log_in, fields.get("token", "").strip())
    except Unauthenticated as error:
        return render(request, "login.html", status=401, problem=str(error))
    response = redirect("concepts")
    set_cookie(request, response, cookie)
    return response


@router.post("/logout")
def log_out(fields: SignedFields, visitor: VisitorHere, center: CenterHere) -> Response:
    center.tokens.log_out(visitor.cookie)
    response = redirect("login")
    response.delete_cookie(COOKIE, path=PATH)
    return response
