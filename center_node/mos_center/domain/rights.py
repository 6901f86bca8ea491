"""What a call needs: a right is a scope of the token and a role of its member.

The edges have tables that say which right each of their calls needs. Whose concept, fusion or model
it is, and whether the caller may see it, is decided by the use cases.
"""

from __future__ import annotations

from dataclasses import dataclass

from mos_center.domain.access import Caller, Role, Scope


@dataclass(frozen=True)
class Needs:
    """A token with this scope (None: any token), of a member with this role."""

    scope: Scope | None = None
    role: Role = Role.MEMBER

    def __post_init__(self) -> None:
        if self.scope is None and self.role is not Role.MEMBER:
            raise ValueError("A role without a scope would let its weakest token in.")

    def check(self, caller: Caller) -> None:
        """Raise `PermissionDenied` when the caller has not what it takes."""
        if self.scope is not None:
            caller.require(self.scope, self.role)

    def are_met(self, caller: Caller) -> bool:
        """Whether `check` lets the caller through."""
        return self.scope is None or (self.scope in caller.scopes and caller.role.covers(self.role))


@dataclass(frozen=True)
class Public:
    """No token at all; `why` is for readers of the table."""

    why: str


Right = Needs | Public

TOKEN = Needs()
WRITE_CONCEPTS = Needs(Scope.CONCEPT_WRITE)
READ_CONCEPTS = Needs(Scope.CONCEPT_READ)
REQUEST_FUSIONS = Needs(Scope.FUSION_REQUEST)
READ_MODELS = Needs(Scope.MODEL_READ)
CURATE = Needs(Scope.ADMIN, Role.CURATOR)
ADMINISTER = Needs(Scope.ADMIN, Role.ADMIN)
