"""API tokens: everyone's own, and any member's for admins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from mos_protocol.errors import InvalidRequest, MosError, NotFound

from mos_center.dashboard.formatting import link
from mos_center.dashboard.listing import Key, Name, Text, listed, one_of
from mos_center.dashboard.members.amounts import amount
from mos_center.dashboard.rendering import Told, page_path, redirect, render
from mos_center.dashboard.visitor import (
    COOKIE,
    PATH,
    CenterHere,
    Fields,
    SignedFields,
    Visitor,
    VisitorHere,
)
from mos_center.domain.access import LOCAL, Scope
from mos_center.domain.members import TokenRecord
from mos_center.service.center import Center
from mos_center.service.tokens import LONGEST_LIFETIME

router = APIRouter()

PAGE = 40
DAY = timedelta(days=1)
EVERYONE = "*"
GOOD_FOR = {
    Scope.CONCEPT_READ: "See concepts and their previews.",
    Scope.CONCEPT_WRITE: "Upload concepts, share them and withdraw them.",
    Scope.MODEL_READ: "See fusions and models, and download models.",
    Scope.FUSION_REQUEST: "Request fusions, and look after the models that come of them.",
    Scope.ADMIN: "Use a curator's or an admin's powers: review, members, audit, system.",
}
"""What each scope lets its bearer do, as the form says it."""


@router.get("/tokens")
def tokens_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    member: Text = "",
    before: Key = "",
) -> Response:
    """A member's tokens, newest first, and a form to create one."""
    whose = _whose(member, visitor)
    found = listed(
        lambda limit: center.tokens.find(
            whose, caller=visitor.caller, before=before or None, limit=limit
        ),
        lambda token: token.id,
        PAGE,
    )
    return render(
        request,
        "tokens/page.html",
        visitor=visitor,
        found=found,
        whose=whose,
        filters={"member": member},
        is_first=not before,
        state_of=token_state,
        scopes=_possible(center, whose, visitor),
        good_for=GOOD_FOR,
        is_open=visitor.caller == LOCAL,
    )


@router.post("/tokens")
def create_token(
    request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Issue a token and show it, this once."""
    member = fields.text("member") or visitor.caller.name
    try:
        secret, record = center.tokens.create(
            member,
            fields.text("name"),
            scopes=_scopes(fields),
            lifetime=_lifetime(fields),
            caller=visitor.caller,
        )
    except MosError as error:
        page = _page_of(member, visitor)
        return redirect(request, visitor, page, Told(str(error), "problem"))
    return render(
        request,
        "tokens/created.html",
        visitor=visitor,
        record=record,
        secret=secret,
        back=_page_of(member, visitor),
        is_open=visitor.caller == LOCAL,
    )


@router.post("/tokens/{token_id}/revoke")
def revoke_token(
    request: Request,
    token_id: Name,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Refuse a token from now on; with this session's own one, its visitor is logged out."""
    record = center.tokens.revoke(token_id, caller=visitor.caller)
    if record.id == visitor.caller.token_id:
        response = redirect(request, None, "login")
        response.delete_cookie(COOKIE, path=PATH)
        return response
    told = Told(f"The token {record.name} of {record.member} is revoked: it lets nobody in now.")
    to_member = fields.text("then") == "member"
    page = page_path("members", record.member) if to_member else _page_of(record.member, visitor)
    return redirect(request, visitor, page, told)


def token_state(token: TokenRecord) -> str:
    """Whether it lets its member in now: active, revoked or expired."""
    if token.revoked_at is not None:
        return "revoked"
    return "active" if token.is_usable(datetime.now(UTC)) else "expired"


def _whose(member: str, visitor: Visitor) -> str | None:
    """Whose tokens are asked for; None: everyone's."""
    # Who calls a center without tokens is no member, and has none.
    if member == EVERYONE or (not member and visitor.caller == LOCAL):
        return None
    return member or visitor.caller.name


def _page_of(member: str, visitor: Visitor) -> str:
    return link("tokens", member="" if member == visitor.caller.name else member)


def _possible(center: Center, whose: str | None, visitor: Visitor) -> list[Scope]:
    """What a new token could be good for, in the order of the form; none: there is no such member.

    For everyone's tokens it depends on the member that will be named.
    """
    possible = visitor.caller.scopes
    if whose is not None:
        try:
            possible = center.tokens.possible_scopes(whose, caller=visitor.caller)
        except NotFound:
            return []
    return [scope for scope in GOOD_FOR if scope in possible]


def _scopes(fields: Fields) -> list[Scope]:
    scopes = [scope for text in fields.all("scope") if (scope := one_of(Scope, text))]
    if not scopes:
        raise InvalidRequest("The token would be good for nothing.", hint="Tick what it may do.")
    return scopes


def _lifetime(fields: Fields) -> timedelta | None:
    days = amount(fields, "days", most=LONGEST_LIFETIME / DAY)
    if days == 0:
        raise InvalidRequest(
            "The token would be over at once.", hint="Leave the days empty for one that stays."
        )
    return None if days is None else days * DAY
