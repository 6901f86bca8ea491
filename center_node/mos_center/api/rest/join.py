"""Joining: a join token becomes a member and its first API token."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import Field, SecretStr

from mos_center.api.rest.context import Answer, Body, CenterHere, problems
from mos_center.api.rest.members import Slug
from mos_center.domain.access import Role, Scope

router = APIRouter(prefix="/v1/join", tags=["members"])


class Joining(Body):
    """`token` is the join token; `name` counts when the invitation leaves it to the newcomer."""

    token: SecretStr = Field(min_length=1, max_length=200)
    name: Slug | None = None


class Welcome(Answer):
    """Who the newcomer is now; `token` is its API token, which is not shown again."""

    member: str
    role: Role
    token: str
    token_id: str
    scopes: list[Scope]


@router.post("", status_code=201, responses=problems(409))
def join(body: Joining, response: Response, center: CenterHere) -> Welcome:
    """Become a member. A name that is taken leaves the join token as good as it was."""
    joined = center.invitations.join(body.token.get_secret_value(), body.name)
    response.headers["Cache-Control"] = "no-store"
    return Welcome(
        member=joined.member.name,
        role=joined.member.role,
        token=joined.secret,
        token_id=joined.token.id,
        scopes=sorted(joined.token.scopes),
    )
