"""Members, and the secrets they prove themselves with; of a secret only its sha256 is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mos_center.domain.access import Role, Scope
from mos_center.domain.policy import Quota


@dataclass(frozen=True)
class Member:
    """Someone who takes part; the name is also the namespace of the member's concepts.

    `quota` holds what differs from the center's own limits.
    """

    name: str
    role: Role
    created_at: datetime
    trusted: bool = False
    disabled_at: datetime | None = None
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True)
class TokenRecord:
    """An issued API token of a member."""

    id: str
    member: str
    name: str
    sha256: str = field(repr=False)
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_usable(self, now: datetime) -> bool:
        """Whether it lets its member in at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class Invitation:
    """A join token that makes one newcomer a member, called `name` if it says so."""

    id: str
    sha256: str = field(repr=False)
    role: Role
    invited_by: str
    created_at: datetime
    expires_at: datetime
    name: str | None = None
    trusted: bool = False
    used_at: datetime | None = None
    used_by: str | None = None

    def is_usable(self, now: datetime) -> bool:
        """Whether it still lets somebody join at `now`."""
        return self.used_at is None and now < self.expires_at


@dataclass(frozen=True)
class SessionRecord:
    """A browser that logged in with a token; only the sha256 of its cookie is kept."""

    sha256: str = field(repr=False)
    token_id: str
    expires_at: datetime
