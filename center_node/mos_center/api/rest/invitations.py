"""Invitations, for admins."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self

from fastapi import APIRouter, Response
from pydantic import Field

from mos_center.api.rest.context import (
    Answer,
    Body,
    Caller,
    CenterHere,
    Page,
    needs_token,
    problems,
)
from mos_center.api.rest.members import Slug
from mos_center.domain import members
from mos_center.domain.access import Role
from mos_center.service.invitations import DEFAULT_LIFETIME, LONGEST_LIFETIME

router = APIRouter(prefix="/v1/invitations", tags=["members"], dependencies=[needs_token])

HOUR = timedelta(hours=1)
MAX_HOURS = LONGEST_LIFETIME / HOUR


class Invitation(Answer):
    """A join token that nobody used yet; the token itself is told only once."""

    id: str
    name: str | None
    role: Role
    trusted: bool
    invited_by: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, invitation: members.Invitation, **more: Any) -> Self:
        return cls(
            id=invitation.id,
            name=invitation.name,
            role=invitation.role,
            trusted=invitation.trusted,
            invited_by=invitation.invited_by,
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
            **more,
        )


class NewInvitation(Invitation):
    """An invitation that was just made: `token` is not shown again."""

    token: str


class WantedInvitation(Body):
    """Whom to invite; without `name` the newcomer chooses."""

    name: Slug | None = None
    role: Role = Role.MEMBER
    trusted: bool = False
    expires_in_hours: float = Field(
        default=DEFAULT_LIFETIME / HOUR, gt=0, le=MAX_HOURS, allow_inf_nan=False
    )


@router.get("", responses=problems())
def list_invitations(center: CenterHere, caller: Caller) -> Page[Invitation]:
    """The invitations that nobody joined with yet, newest first, in one page."""
    found = center.invitations.all(caller=caller)
    return Page(items=[Invitation.of(item) for item in found], next_cursor=None)


@router.post("", status_code=201, responses=problems(409))
def invite(
    body: WantedInvitation, response: Response, center: CenterHere, caller: Caller
) -> NewInvitation:
    """Make a join token for one newcomer (see `/v1/join`)."""
    secret, invitation = center.invitations.create(
        body.name,
        body.role,
        trusted=body.trusted,
        lifetime=body.expires_in_hours * HOUR,
        caller=caller,
    )
    response.headers["Cache-Control"] = "no-store"
    return NewInvitation.of(invitation, token=secret)


@router.delete("/{invitation_id}", status_code=204, responses=problems(404, 409))
def revoke_invitation(invitation_id: str, center: CenterHere, caller: Caller) -> None:
    """Take an invitation back."""
    center.invitations.revoke(invitation_id, caller=caller)
