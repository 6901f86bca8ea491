"""Members, for admins: who takes part, with which role and limits, and who is invited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from mos_protocol.errors import InvalidRequest, MosError

from mos_center.dashboard.listing import Key, Name, Text, listed, one_of
from mos_center.dashboard.members.amounts import GIGABYTE, amount, in_gigabytes, whole
from mos_center.dashboard.members.tokens import token_state
from mos_center.dashboard.rendering import Told, page_path, redirect, render
from mos_center.dashboard.visitor import CenterHere, Fields, SignedFields, Visitor, VisitorHere
from mos_center.domain.access import Role
from mos_center.domain.members import Member
from mos_center.service.center import Center
from mos_center.service.invitations import DEFAULT_LIFETIME, LONGEST_LIFETIME
from mos_center.service.members import MemberChange
from mos_center.service.quotas import MemberUsage

router = APIRouter()

PAGE = 40
TOKENS = 10
INVITATIONS = 10
HOUR = timedelta(hours=1)
MOST = 2**31 - 1
MOST_GIGABYTES = 2**53 // GIGABYTE


@dataclass(frozen=True)
class ShownMember:
    """A member with what it has, and when it last used a token."""

    member: Member
    usage: MemberUsage
    active_at: datetime | None


@router.get("/members")
def members_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    q: Text = "",
    role: Text = "",
    after: Key = "",
) -> Response:
    """The members that fit, the invitations that are open, and a form to invite."""
    found = listed(
        lambda limit: center.members.find(
            q or None,
            one_of(Role, role),
            caller=visitor.caller,
            after=after or None,
            limit=limit,
        ),
        lambda member: member.name,
        PAGE,
    )
    invitations = center.invitations.all(caller=visitor.caller)
    return render(
        request,
        "members/page.html",
        visitor=visitor,
        found=found,
        shown=_shown(center, found.items, visitor),
        filters={"q": q, "role": role},
        is_first=not after,
        roles=list(Role),
        invitations=invitations[:INVITATIONS],
        more_invitations=len(invitations[INVITATIONS:]),
        hours=round(DEFAULT_LIFETIME / HOUR),
        now=datetime.now(UTC),
    )


@router.post("/members/invitations")
def invite(
    request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Make an invitation and show its join command, this once."""
    try:
        secret, invitation = center.invitations.create(
            fields.text("name") or None,
            _role(fields),
            trusted=fields.has("trusted"),
            lifetime=_lifetime(fields),
            caller=visitor.caller,
        )
    except MosError as error:
        return redirect(request, visitor, "members", Told(str(error), "problem"))
    wish = "" if invitation.name else " --name NAME"
    return render(
        request,
        "members/invited.html",
        visitor=visitor,
        invitation=invitation,
        command=f"mos-client join {_address(request)} {secret}{wish}",
    )


@router.post("/members/invitations/{invitation_id}/revoke")
def revoke_invitation(
    request: Request,
    invitation_id: Name,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Take an invitation back."""
    center.invitations.revoke(invitation_id, caller=visitor.caller)
    told = Told("The invitation is taken back: nobody can join with it any more.")
    return redirect(request, visitor, "members", told)


@router.get("/members/{name}")
def member_page(request: Request, name: Name, center: CenterHere, visitor: VisitorHere) -> Response:
    """One member: what it may, what it has, its tokens, and where its things are."""
    member = center.members.get(name, caller=visitor.caller)
    (shown,) = _shown(center, [member], visitor)
    tokens = listed(
        lambda limit: center.tokens.find(name, caller=visitor.caller, limit=limit),
        lambda token: token.id,
        TOKENS,
    )
    return render(
        request,
        "members/member.html",
        visitor=visitor,
        shown=shown,
        tokens=tokens,
        state_of=token_state,
        common=center.quotas.common,
        roles=list(Role),
        gigabytes=in_gigabytes(member.quota.total_bytes),
    )


@router.post("/members/{name}")
def change_member(
    request: Request,
    name: Name,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Change role, trust and limits, or disable or enable the member."""
    try:
        member = center.members.change(name, _change(fields), caller=visitor.caller)
    except MosError as error:
        told = Told(str(error), "problem")
        return redirect(request, visitor, page_path("members", name), told)
    resigned = name == visitor.caller.name and member.role is not Role.ADMIN
    page = "" if resigned else page_path("members", name)
    return redirect(request, visitor, page, Told(_done(fields, name)))


def _shown(center: Center, members: Sequence[Member], visitor: Visitor) -> list[ShownMember]:
    usages = center.quotas.usages(members, caller=visitor.caller)
    active = center.members.last_active([one.name for one in members], caller=visitor.caller)
    return [ShownMember(one, usages[one.name], active.get(one.name)) for one in members]


def _change(fields: Fields) -> MemberChange:
    what = fields.text("change")
    if what in ("disable", "enable"):
        return MemberChange(disabled=what == "disable")
    gigabytes = amount(fields, "gigabytes", most=MOST_GIGABYTES)
    return MemberChange(
        role=_role(fields),
        trusted=fields.has("trusted"),
        quota={
            "total_bytes": None if gigabytes is None else round(gigabytes * GIGABYTE),
            "concepts": whole(fields, "concepts", most=MOST),
            "jobs": whole(fields, "unfinished_fusions", most=MOST),
        },
    )


def _done(fields: Fields, name: str) -> str:
    return {
        "disable": f"{name} is disabled: its tokens are refused and its browsers are logged out.",
        "enable": f"{name} is enabled again, with the tokens that it had.",
    }.get(fields.text("change"), f"{name} is saved.")


def _role(fields: Fields) -> Role:
    role = one_of(Role, fields.text("role"))
    if role is None:
        raise InvalidRequest("No role is chosen.", hint=f"Possible: {', '.join(Role)}.")
    return role


def _lifetime(fields: Fields) -> timedelta:
    hours = amount(fields, "hours", most=LONGEST_LIFETIME / HOUR)
    if hours == 0:
        raise InvalidRequest("The invitation would be over at once.", hint="Give it an hour.")
    return DEFAULT_LIFETIME if hours is None else hours * HOUR


def _address(request: Request) -> str:
    """The center's address as this browser reaches it, even behind a proxy that ends TLS."""
    # The origin was compared with the host before the form was believed.
    origin = request.headers.get("origin")
    return origin or f"{request.url.scheme}://{request.url.netloc}"
