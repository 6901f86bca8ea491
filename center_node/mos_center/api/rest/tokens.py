"""API tokens: a member's own, and everybody's for admins."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Response
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
from mos_center.domain.access import Scope
from mos_center.service.tokens import LONGEST_LIFETIME

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], dependencies=[needs_token])

MAX_DAYS = LONGEST_LIFETIME / timedelta(days=1)


class Token(Answer):
    """An issued token; the token itself is told only once, when it is created."""

    id: str
    member: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, record: members.TokenRecord, **more: Any) -> Self:
        return cls(
            id=record.id,
            member=record.member,
            name=record.name,
            scopes=sorted(record.scopes),
            created_at=record.created_at,
            expires_at=record.expires_at,
            revoked_at=record.revoked_at,
            last_used_at=record.last_used_at,
            **more,
        )


class NewToken(Token):
    """A token that was just created: `token` is not shown again."""

    token: str


class WantedToken(Body):
    """`scopes` are all that are possible when left out; `member` is the caller when left out."""

    name: Slug
    scopes: list[Scope] | None = Field(default=None, min_length=1, max_length=len(Scope))
    expires_in_days: float | None = Field(default=None, gt=0, le=MAX_DAYS, allow_inf_nan=False)
    member: Slug | None = None

    @property
    def lifetime(self) -> timedelta | None:
        days = self.expires_in_days
        return None if days is None else timedelta(days=days)


@router.get("", responses=problems())
def list_tokens(
    center: CenterHere,
    caller: Caller,
    member: Annotated[str | None, Query(max_length=63)] = None,
) -> Page[Token]:
    """The caller's tokens, revoked ones too, in one page; everybody's for admins."""
    found = center.tokens.all(member, caller=caller)
    return Page(items=[Token.of(record) for record in found], next_cursor=None)


@router.post("", status_code=201, responses=problems(404, 409))
def create_token(
    body: WantedToken, response: Response, center: CenterHere, caller: Caller
) -> NewToken:
    """Issue a token; it can do no more, and is good no longer, than the one it is made with."""
    secret, record = center.tokens.create(
        body.member or caller.name,
        body.name,
        scopes=body.scopes,
        lifetime=body.lifetime,
        caller=caller,
    )
    response.headers["Cache-Control"] = "no-store"
    return NewToken.of(record, token=secret)


@router.delete("/{token_id}", status_code=204, responses=problems(404))
def revoke_token(token_id: str, center: CenterHere, caller: Caller) -> None:
    """Refuse a token from now on, and close the browser sessions opened with it."""
    center.tokens.revoke(token_id, caller=caller)
