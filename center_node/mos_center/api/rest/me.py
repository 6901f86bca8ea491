"""Who the caller is, and what it has."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from fastapi import APIRouter

from mos_center.api.rest.context import Answer, Caller, CenterHere, needs_token, problems
from mos_center.domain import access
from mos_center.domain.access import Role, Scope
from mos_center.domain.policy import Quota, Usage

router = APIRouter(prefix="/v1/me", tags=["members"], dependencies=[needs_token])


class Amounts(Answer):
    """As `quota_…` limits them; null: no limit."""

    bytes: int | None
    concepts: int | None
    jobs: int | None

    @classmethod
    def of(cls, amounts: Quota | Usage) -> Self:
        return cls(bytes=amounts.total_bytes, concepts=amounts.concepts, jobs=amounts.jobs)


class Me(Answer):
    """A member as far as the token of this call reaches; a center without tokens has no id."""

    member: str
    role: Role
    scopes: list[Scope]
    token_id: str | None
    token_expires_at: datetime | None
    usage: Amounts
    limits: Amounts

    @classmethod
    def of(cls, caller: access.Caller, ends: datetime | None, usage: Usage, limits: Quota) -> Self:
        return cls(
            member=caller.name,
            role=caller.role,
            scopes=sorted(caller.scopes),
            token_id=caller.token_id,
            token_expires_at=ends,
            usage=Amounts.of(usage),
            limits=Amounts.of(limits),
        )


@router.get("", responses=problems())
def get_me(center: CenterHere, caller: Caller) -> Me:
    """Whose token this is, what it is good for, and what the member has and may have."""
    found = center.quotas.usage(caller.name)
    return Me.of(caller, center.tokens.end(caller), found.used, found.limits)
