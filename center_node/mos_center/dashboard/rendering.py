"""How a template becomes a page, and how one page leads to the next, saying what was done."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from mos_center.dashboard import formatting
from mos_center.dashboard.assets import asset_url
from mos_center.dashboard.visitor import COOKIE, PATH, Visitor

TOLD_COOKIE = "mos_told"
_MAX_TOLD = 1500

environment = Environment(
    loader=PackageLoader("mos_center.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters.update(formatting.FILTERS)
environment.globals.update(asset=asset_url, link=formatting.link)


@dataclass(frozen=True)
class Told:
    """A sentence that the next page shows on top: what was done, or what part of it was not."""

    text: str
    kind: Literal["done", "problem"] = "done"


def render(
    request: Request,
    template: str,
    *,
    visitor: Visitor | None = None,
    status: int = 200,
    **content: object,
) -> HTMLResponse:
    """Render a template of this package, with everything in it escaped."""
    told = _take_told(request, visitor)
    page = environment.get_template(template).render(
        root=PATH, visitor=visitor, told=told, **content
    )
    response = HTMLResponse(page, status, headers={"Cache-Control": "no-store"})
    if visitor is not None and visitor.is_new:
        set_session(request, response, visitor.cookie)
    if TOLD_COOKIE in request.cookies and not is_fragment(request):
        response.delete_cookie(TOLD_COOKIE, path=PATH)
    return response


def render_text(template: str, *, visitor: Visitor, **content: object) -> str:
    """Render a part of a page that is sent as an event."""
    return environment.get_template(template).render(
        root=PATH, visitor=visitor, told=None, **content
    )


def is_fragment(request: Request) -> bool:
    """Whether the browser asks for a part of a page, to put into one that it shows."""
    return request.headers.get("hx-request") == "true"


def redirect(
    request: Request, visitor: Visitor | None, page: str, told: Told | None = None
) -> Response:
    """Lead on to a page of the dashboard, as a new GET; `page` is relative to its root."""
    url = f"{PATH}/{page}"
    response: Response = RedirectResponse(url, status_code=303)
    if is_fragment(request):
        response = Response(status_code=204, headers={"HX-Redirect": url})
    if told is not None and visitor is not None:
        response.set_cookie(TOLD_COOKIE, _seal(told, visitor), **_cookie_options(request))
    return response


def set_session(request: Request, response: Response, cookie: str) -> None:
    """Hand out the session cookie: no script reads it, no other site sends it."""
    response.set_cookie(COOKIE, cookie, **_cookie_options(request))


def _cookie_options(request: Request) -> dict[str, Any]:
    secure = request.url.scheme == "https"
    return {"httponly": True, "samesite": "strict", "secure": secure, "path": PATH}


def _seal(told: Told, visitor: Visitor) -> str:
    text = json.dumps({"kind": told.kind, "text": told.text[:_MAX_TOLD]})
    return f"{base64.urlsafe_b64encode(text.encode()).decode()}.{visitor.sign(text)}"


def _take_told(request: Request, visitor: Visitor | None) -> Told | None:
    """What an earlier answer had to tell, if it was ours and for this session."""
    content, _, signature = request.cookies.get(TOLD_COOKIE, "").partition(".")
    if visitor is None or not signature or is_fragment(request):
        return None
    try:
        text = base64.urlsafe_b64decode(content).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not hmac.compare_digest(visitor.sign(text).encode(), signature.encode()):
        return None
    found = json.loads(text)
    return Told(found["text"], found["kind"])


def page_path(*parts: object) -> str:
    """The path of a page below the dashboard's root, each part quoted: `page_path("models", m)`."""
    return "/".join(quote(str(part), safe="/@") for part in parts)
