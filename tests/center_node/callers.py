"""Callers with roles, as their tokens would make them."""

from __future__ import annotations

from mos_center.domain.access import Caller, Role, scopes_of


def member(name: str, role: Role = Role.MEMBER) -> Caller:
    """A member with a token that is good for all that the role allows."""
    return Caller(name, role, scopes_of(role))


ADA, BOB, EVE = member("ada"), member("bob"), member("eve")
RITA = member("rita", Role.CURATOR)
