"""Rendering pages, and who looks at them: session cookie and form protection."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from mos_protocol.errors import PermissionDenied

from mos_center.domain.access import LOCAL, Caller
from mos_center.service.center import Center

PATH = "/dashboard"
COOKIE = "mos_session"
_environment = Environment(
    loader=PackageLoader("mos_center.dashboard"), autoescape=True, undefined=StrictUndefined
)
_environment.filters["url"] = lambda text: quote(str(text), safe="/")


@dataclass(frozen=True)
class Visitor:
    """Who looks at the page; `csrf` goes into every form."""

    caller: Caller
    cookie: str
    is_new: bool

    @property
    def csrf(self) -> str:
        return hashlib.sha256(f"csrf:{self.cookie}".encode()).hexdigest()

    @property
    def can_log_out(self) -> bool:
        return self.caller != LOCAL


def center_of(request: Request) -> Center:
    """The center that serves this request."""
    center: Center = request.app.state.center
    return center


def visitor_of(request: Request) -> Visitor:
    """Who has this session; raises `Unauthenticated`, which leads to the login page."""
    cookie = request.cookies.get(COOKIE)
    caller = center_of(request).tokens.session(cookie)
    # Without tokens nobody logs in, but forms still need something that other sites can't know.
    return Visitor(caller, cookie or secrets.token_urlsafe(32), cookie is None)


async def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent from one of our own pages."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise _foreign()
    body = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(body, max_num_fields=20))


CenterHere = Annotated[Center, Depends(center_of)]
VisitorHere = Annotated[Visitor, Depends(visitor_of)]
Fields = Annotated[dict[str, str], Depends(fields_of)]


def signed_fields(visitor: VisitorHere, fields: Fields) -> dict[str, str]:
    """The fields of a form that carries this session's own secret."""
    if not hmac.compare_digest(fields.get("csrf", "").encode(), visitor.csrf.encode()):
        raise _foreign()
    return fields


SignedFields = Annotated[dict[str, str], Depends(signed_fields)]


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    visitor: Visitor | None = None,
    **content: object,
) -> HTMLResponse:
    """Render a template of this package, with everything in it escaped."""
    root = request.scope.get("root_path", "")
    page = _environment.get_template(template).render(root=root, visitor=visitor, **content)
    response = HTMLResponse(page, status, headers={"Cache-Control": "no-store"})
    if visitor is not None and visitor.is_new:
        set_cookie(request, response, visitor.cookie)
    return response


def set_cookie(request: Request, response: HTMLResponse | RedirectResponse, cookie: str) -> None:
    """Hand out the session cookie: no script reads it, no other site sends it."""
    response.set_cookie(
        COOKIE,
        cookie,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path=request.scope.get("root_path", "") or "/",
    )


def redirect(page: str) -> RedirectResponse:
    """Lead on to a page of the dashboard, as a new GET; `page` is relative to its root."""
    return RedirectResponse(f"{PATH}/{page}", status_code=303)


def _foreign() -> PermissionDenied:
    return PermissionDenied(
        "This form was not sent from a page of this center.", hint="Reload the page, try again."
    )
