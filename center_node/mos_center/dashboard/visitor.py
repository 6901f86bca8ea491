"""Who looks at a page: the session behind its cookie, the rights of the page, forms that are real.

There is no way in besides a token: a session is as good as the token that it was opened with.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from mos_protocol.errors import InvalidRequest, NotFound, PermissionDenied

from mos_center.dashboard.rights import PAGE_RIGHTS
from mos_center.domain.access import LOCAL, Caller
from mos_center.domain.rights import Needs, Public
from mos_center.service.center import Center

PATH = "/dashboard"
COOKIE = "mos_session"
MAX_FIELDS = 2000


@dataclass(frozen=True)
class Visitor:
    """Who looks at the page; `csrf` goes into every form."""

    caller: Caller
    cookie: str
    is_new: bool

    @property
    def csrf(self) -> str:
        return self.sign("csrf")

    @property
    def can_log_out(self) -> bool:
        return self.caller != LOCAL

    def sign(self, text: str) -> str:
        """What nobody can tell who does not have this session's cookie: 64 hex digits."""
        return hmac.new(self.cookie.encode(), text.encode(), hashlib.sha256).hexdigest()

    def may(self, method: str, page: str) -> bool:
        """Whether the page with this path template may be opened, so that a link leads somewhere.

        Whose thing it is decides the use case all the same.
        """
        right = PAGE_RIGHTS[method, page]
        return isinstance(right, Public) or right.are_met(self.caller)


class Fields:
    """The fields of a form, in its order; a name may come several times."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._first = dict(reversed(pairs))

    def text(self, name: str, *, most: int = 2000) -> str:
        """The field without the space around it, "" when it is missing; raises when too long."""
        found = self._first.get(name, "").strip()
        if len(found) > most:
            raise InvalidRequest(
                f"{name.replace('_', ' ').capitalize()} has {len(found)} characters.",
                hint=f"At most {most} are possible.",
            )
        return found

    def all(self, name: str) -> list[str]:
        """Every value of the name."""
        return [value.strip() for key, value in self._pairs if key == name]

    def has(self, name: str) -> bool:
        """Whether the field came at all, as a ticked box does."""
        return name in self._first


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


def check_page_right(request: Request) -> None:
    """Raise unless the table of rights lists the page and the visitor has what it needs."""
    right = PAGE_RIGHTS.get((_method(request), request.scope["route"].path))
    # Databases take no NUL in a text, and no name has one.
    if right is None or "\x00" in request.url.path:
        raise NotFound("There is no such page.", hint="Start again from the overview.")
    if isinstance(right, Needs):
        right.check(_visitor_here(request).caller)


def _visitor_here(request: Request) -> Visitor:
    """Who has this session, looked up once in a request."""
    known: Visitor | None = getattr(request.state, "visitor", None)
    if known is None:
        known = request.state.visitor = visitor_of(request)
    return known


async def fields_of(request: Request) -> Fields:
    """The fields of a form that was sent from one of our own pages."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise _foreign()
    body = (await request.body()).decode("utf-8", "replace")
    if "\x00" in body or "%00" in body:
        raise InvalidRequest("A field holds a character that no text has.", hint="Remove it.")
    try:
        return Fields(parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise InvalidRequest("The form has too many fields.", hint="Choose fewer.") from None


CenterHere = Annotated[Center, Depends(center_of)]
VisitorHere = Annotated[Visitor, Depends(_visitor_here)]
UnsignedFields = Annotated[Fields, Depends(fields_of)]


def signed_fields(visitor: VisitorHere, fields: UnsignedFields) -> Fields:
    """The fields of a form that carries this session's own secret."""
    if not hmac.compare_digest(fields.text("csrf").encode(), visitor.csrf.encode()):
        raise _foreign()
    return fields


SignedFields = Annotated[Fields, Depends(signed_fields)]


def _method(request: Request) -> str:
    return "GET" if request.method == "HEAD" else request.method


def _foreign() -> PermissionDenied:
    return PermissionDenied(
        "This form was not sent from a page of this center.", hint="Reload the page, try again."
    )
