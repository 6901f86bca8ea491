"""Members, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter
from mos_protocol.names import SLUG_PATTERN
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
from mos_center.domain import members
from mos_center.domain.access import Role
from mos_center.service.members import MemberChange

router = APIRouter(prefix="/v1/members", tags=["members"], dependencies=[needs_token])

MAX_QUOTA = 2**53
Amount = Annotated[int, Field(ge=0, le=MAX_QUOTA)]
Slug = Annotated[str, Field(pattern=rf"^{SLUG_PATTERN}$")]


class Member(Answer):
    """Someone who takes part; a quota that is null is the center's own."""

    name: str
    role: Role
    trusted: bool
    created_at: datetime
    disabled_at: datetime | None
    quota_bytes: int | None
    quota_concepts: int | None
    quota_jobs: int | None

    @classmethod
    def of(cls, member: members.Member) -> Self:
        return cls(
            name=member.name,
            role=member.role,
            trusted=member.trusted,
            created_at=member.created_at,
            disabled_at=member.disabled_at,
            quota_bytes=member.quota.total_bytes,
            quota_concepts=member.quota.concepts,
            quota_jobs=member.quota.jobs,
        )


class NewMember(Body):
    name: Slug
    role: Role = Role.MEMBER
    trusted: bool = False


class MemberPatch(Body):
    """What is to be different; what is left out stays, a quota that is null is the center's."""

    role: Role | None = None
    trusted: bool | None = None
    disabled: bool | None = None
    quota_bytes: Amount | None = None
    quota_concepts: Amount | None = None
    quota_jobs: Amount | None = None

    def change(self) -> MemberChange:
        quota = {
            "total_bytes": ("quota_bytes", self.quota_bytes),
            "concepts": ("quota_concepts", self.quota_concepts),
            "jobs": ("quota_jobs", self.quota_jobs),
        }
        given = self.model_fields_set
        return MemberChange(
            role=self.role,
            trusted=self.trusted,
            disabled=self.disabled,
            quota={key: value for key, (name, value) in quota.items() if name in given},
        )


@router.get("", responses=problems())
def list_members(center: CenterHere, caller: Caller) -> Page[Member]:
    """Every member, by name, in one page."""
    found = center.members.all(caller=caller)
    return Page(items=[Member.of(member) for member in found], next_cursor=None)


@router.post("", status_code=201, responses=problems(409))
def add_member(body: NewMember, center: CenterHere, caller: Caller) -> Member:
    """Add a member; it calls with the tokens that are issued to it."""
    added = center.members.add(body.name, body.role, trusted=body.trusted, caller=caller)
    return Member.of(added)


@router.get("/{name}", responses=problems(404))
def get_member(name: str, center: CenterHere, caller: Caller) -> Member:
    """One member."""
    return Member.of(center.members.get(name, caller=caller))


@router.patch("/{name}", responses=problems(404, 409))
def change_member(name: str, body: MemberPatch, center: CenterHere, caller: Caller) -> Member:
    """Change role, trust, limits, or whether it is disabled; one admin is always left."""
    return Member.of(center.members.change(name, body.change(), caller=caller))
