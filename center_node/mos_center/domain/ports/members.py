"""Repositories of members, and of what they prove themselves with."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from mos_center.domain.access import Role
from mos_center.domain.members import Invitation, Member, SessionRecord, TokenRecord


class Members(Protocol):
    """Who takes part."""

    def add(self, member: Member) -> None:
        """Add a member whose name is new; raises `Conflict`."""

    def get(self, name: str) -> Member | None: ...

    def all(self) -> tuple[Member, ...]:
        """Every member, by name."""

    def find(
        self, text: str | None, role: Role | None, *, after: str | None = None, limit: int
    ) -> tuple[Member, ...]:
        """By name, only what follows `after`; `text` is found in names."""

    def update(self, member: Member) -> None:
        """Write role, trust, quota, and whether it is disabled."""


class Tokens(Protocol):
    """Issued API tokens, and the browser sessions opened with them."""

    def add(self, token: TokenRecord) -> None:
        """Add it; raises `Conflict` when the member has one of that name."""

    def by_sha256(self, sha256: str) -> TokenRecord | None: ...

    def get(self, token_id: str) -> TokenRecord | None: ...

    def find(self, member: str | None = None) -> tuple[TokenRecord, ...]:
        """Those of one member, or all; by member and name."""

    def newest(
        self, member: str | None, *, before: str | None = None, limit: int
    ) -> tuple[TokenRecord, ...]:
        """Those of one member, or all; newest first, only ids below `before`."""

    def last_used(self, members: Collection[str]) -> dict[str, datetime]:
        """When each member last used a token; those who never did are left out."""

    def any(self) -> bool:
        """Whether a token was ever issued, revoked ones included."""

    def revoke(self, token_id: str, at: datetime) -> None:
        """Revoke the token and close its browser sessions."""

    def used(self, token_id: str, at: datetime) -> None:
        """Note when it was last used."""

    def open_session(self, session: SessionRecord) -> None: ...

    def session(self, sha256: str) -> SessionRecord | None: ...

    def close_session(self, sha256: str) -> None: ...

    def close_sessions(self, member: str) -> None:
        """Close every browser session of a member."""


class Invitations(Protocol):
    """Join tokens."""

    def add(self, invitation: Invitation) -> None: ...

    def by_sha256(self, sha256: str) -> Invitation | None: ...

    def get(self, invitation_id: str) -> Invitation | None: ...

    def open(self) -> tuple[Invitation, ...]:
        """Those that were not used, newest first."""

    def use(self, invitation_id: str, member: str, at: datetime) -> bool:
        """Note who joined with it; False when somebody had joined with it before."""

    def remove(self, invitation_id: str) -> None: ...
