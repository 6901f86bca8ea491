"""What a center answers about members and tokens. Secrets never show in a `repr`."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mos_client.session.results import Answer


class Amounts(Answer):
    """What a member has, or may have; None: no limit."""

    bytes: int | None = None
    concepts: int | None = None
    jobs: int | None = None


class Me(Answer):
    """Whose token a session has, what it is good for, and what the member has and may have."""

    member: str
    role: str
    scopes: tuple[str, ...] = ()
    token_id: str | None = None
    token_expires_at: datetime | None = None
    usage: Amounts = Amounts()
    limits: Amounts = Amounts()


class Member(Answer):
    """Someone who takes part in a center; a quota that is None is the center's own."""

    name: str
    role: str
    trusted: bool = False
    created_at: datetime
    disabled_at: datetime | None = None
    quota_bytes: int | None = None
    quota_concepts: int | None = None
    quota_jobs: int | None = None


class Token(Answer):
    """An issued API token, without the token itself."""

    id: str
    member: str
    name: str
    scopes: tuple[str, ...] = ()
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class NewToken(Token):
    """A token that was just created; `token` is not shown again."""

    token: str = Field(repr=False)


class Invitation(Answer):
    """A join token that was just made for one newcomer; `token` is not shown again."""

    id: str
    name: str | None = None
    role: str
    trusted: bool = False
    expires_at: datetime
    token: str = Field(repr=False)


class Welcome(Answer):
    """Who a newcomer is now, and its API token, which is not shown again."""

    member: str
    role: str
    scopes: tuple[str, ...] = ()
    token: str = Field(repr=False)
    token_id: str = ""
