"""Who calls, and what that caller may do: roles of members, scopes of tokens, visibility."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mos_protocol.errors import PermissionDenied


class Role(StrEnum):
    """What a member is to the center; each role can do all that the one before can."""

    MEMBER = "member"
    CURATOR = "curator"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        """Whether this role can do all that `other` can."""
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}


class Scope(StrEnum):
    """What a token is good for; `admin` is reviewing and administration."""

    CONCEPT_WRITE = "concept:write"
    CONCEPT_READ = "concept:read"
    FUSION_REQUEST = "fusion:request"
    MODEL_READ = "model:read"
    ADMIN = "admin"


class Visibility(StrEnum):
    """Who sees a concept besides its owner, curators and admins."""

    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


def scopes_of(role: Role) -> frozenset[Scope]:
    """All that a token of a member with this role can be good for."""
    everything = frozenset(Scope)
    return everything if role.covers(Role.CURATOR) else everything - {Scope.ADMIN}


@dataclass(frozen=True)
class Caller:
    """A member who calls, as far as the token that came with the call reaches."""

    name: str
    role: Role
    scopes: frozenset[Scope]
    token_id: str | None = None

    @classmethod
    def of(cls, name: str, role: Role, scopes: Iterable[Scope], token_id: str | None) -> Caller:
        """A member with a token; scopes beyond the member's role do not count."""
        return cls(name, role, frozenset(scopes) & scopes_of(role), token_id)

    @property
    def is_curator(self) -> bool:
        """Whether the call may use a curator's powers: a token without `admin` has none."""
        return self.role.covers(Role.CURATOR) and Scope.ADMIN in self.scopes

    @property
    def is_admin(self) -> bool:
        """Whether the call may use an admin's powers."""
        return self.role.covers(Role.ADMIN) and Scope.ADMIN in self.scopes

    @property
    def viewer(self) -> str | None:
        """Whose eyes a list is read with: None sees everything."""
        return None if self.is_curator else self.name

    def owns(self, owner: str) -> bool:
        """Whether `owner`'s concepts are this caller's to change."""
        return self.name == owner or self.is_admin

    def require(self, scope: Scope, role: Role = Role.MEMBER) -> None:
        """Raise `PermissionDenied` unless the caller has this role and its token this scope."""
        if not self.role.covers(role):
            raise PermissionDenied(
                f"This needs the role {role.value}, and {self.name} is {self.role.value}.",
                hint="Ask an admin of the center.",
            )
        if scope not in self.scopes:
            raise PermissionDenied(
                f"This needs a token with the scope {scope.value}.",
                hint="Create one with that scope: `mos-client token create NAME --scope …`.",
            )


LOCAL = Caller("local", Role.ADMIN, frozenset(Scope))
"""Who calls a center on the same machine that has no tokens, and who runs its command line."""

SYSTEM = Caller("system", Role.ADMIN, frozenset(Scope))
"""The center itself: its workers and its upkeep."""
