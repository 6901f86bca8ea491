"""Members: who takes part, with which role, trust and limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, InvalidName, NotFound
from mos_protocol.names import check_slug

from mos_center.domain.access import LOCAL, SYSTEM, Caller, Role, Scope
from mos_center.domain.events import AuditEvent
from mos_center.domain.members import Member
from mos_center.domain.ports import Database, Transaction

# The log would read as if the center itself, or its operator, had acted.
RESERVED = frozenset({LOCAL.name, SYSTEM.name})


@dataclass(frozen=True)
class MemberChange:
    """What is to be different about a member; None stays as it is.

    `quota` has the fields of `Quota` that change; a None in it means the center's own limit.
    """

    role: Role | None = None
    trusted: bool | None = None
    disabled: bool | None = None
    quota: Mapping[str, int | None] = field(default_factory=dict)

    def of(self, member: Member) -> Member:
        """The member with the change made."""
        disabled_at = member.disabled_at
        if self.disabled is not None:
            disabled_at = (disabled_at or datetime.now(UTC)) if self.disabled else None
        return replace(
            member,
            role=self.role or member.role,
            trusted=member.trusted if self.trusted is None else self.trusted,
            disabled_at=disabled_at,
            quota=replace(member.quota, **self.quota),
        )


class MemberService:
    """Adds members, shows them and changes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, name: str, role: Role = Role.MEMBER, *, trusted: bool = False, caller: Caller
    ) -> Member:
        """Add a member; raises `Conflict` when the name is taken."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.write() as transaction:
            return add_member(transaction, name, role, trusted=trusted, actor=caller.name)

    def all(self, *, caller: Caller) -> tuple[Member, ...]:
        """Every member, by name."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.members.all()

    def find(
        self,
        text: str | None = None,
        role: Role | None = None,
        *,
        caller: Caller,
        after: str | None = None,
        limit: int,
    ) -> tuple[Member, ...]:
        """Members by name, only what follows `after`; `text` is found in names."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.members.find(text, role, after=after, limit=limit)

    def last_active(self, names: Collection[str], *, caller: Caller) -> dict[str, datetime]:
        """When each member last used a token; those who never did are left out."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.tokens.last_used(names)

    def get(self, name: str, *, caller: Caller) -> Member:
        """Return a member, to admins and to itself; raises `NotFound`."""
        if caller.name != name:
            caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return find_member(transaction, name)

    def change(self, name: str, change: MemberChange, *, caller: Caller) -> Member:
        """Change a member and return it as it is now.

        A disabled one is refused from its next call on, and its browser sessions are closed.
        Raises `Conflict` when no enabled admin would be left.
        """
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.write() as transaction:
            before = find_member(transaction, name)
            after = change.of(before)
            if after == before:
                return before
            transaction.members.update(after)
            _check_an_admin_is_left(transaction, before)
            if after.disabled_at is not None:
                transaction.tokens.close_sessions(name)
            transaction.audit.record(
                AuditEvent(
                    caller.name, "member.changed", f"member/{name}", _told(before), _told(after)
                )
            )
        return after


def find_member(transaction: Transaction, name: str) -> Member:
    """Return the member; raises `NotFound`."""
    member = transaction.members.get(name)
    if member is None:
        raise NotFound(f"There is no member {name!r}.", hint="List the members, or add it.")
    return member


def add_member(
    transaction: Transaction, name: str, role: Role, *, trusted: bool, actor: str
) -> Member:
    """Add a member and write it down; raises `InvalidName` and `Conflict`."""
    check_slug(name, "member name")
    if name in RESERVED:
        raise InvalidName(
            f"{name!r} is what the center calls itself in its log.", hint="Choose another name."
        )
    member = Member(name=name, role=role, created_at=datetime.now(UTC), trusted=trusted)
    transaction.members.add(member)
    after = {"role": role.value, "trusted": trusted}
    transaction.audit.record(AuditEvent(actor, "member.added", f"member/{name}", after=after))
    return member


def _check_an_admin_is_left(transaction: Transaction, before: Member) -> None:
    if before.role is not Role.ADMIN or before.disabled_at is not None:
        return
    members = transaction.members.all()
    if not any(one.role is Role.ADMIN and one.disabled_at is None for one in members):
        raise Conflict(
            f"{before.name} is the last admin of this center.", hint="Make another one admin first."
        )


def _told(member: Member) -> Mapping[str, object]:
    return {
        "role": member.role.value,
        "trusted": member.trusted,
        "disabled": member.disabled_at is not None,
        "quota_bytes": member.quota.total_bytes,
        "quota_concepts": member.quota.concepts,
        "quota_jobs": member.quota.jobs,
    }
