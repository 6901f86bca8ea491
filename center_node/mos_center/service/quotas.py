"""Quotas: how much each member may have, and has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mos_protocol.errors import QuotaExceeded

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.members import Member
from mos_center.domain.policy import Quota, Usage
from mos_center.domain.ports import Database, Transaction


@dataclass(frozen=True)
class MemberUsage:
    """What a member has, and may have."""

    used: Usage
    limits: Quota


class QuotaService:
    """Tells members what they use; `quota` is what holds for those without limits of their own."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota

    def usage(self, member: str) -> MemberUsage:
        """What `member` has and may have; somebody who never did anything has nothing."""
        with self._database.read() as transaction:
            return usage_of(transaction, self._quota, member)

    def usages(self, members: Sequence[Member], *, caller: Caller) -> dict[str, MemberUsage]:
        """What each of these members has and may have."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            used = transaction.usages.of_many([member.name for member in members])
        return {
            member.name: MemberUsage(used[member.name], _limits(member.quota, self._quota))
            for member in members
        }

    @property
    def common(self) -> Quota:
        """What holds for members without limits of their own."""
        return self._quota


def check_package_quota(transaction: Transaction, quota: Quota, owner: str) -> None:
    """Raise `QuotaExceeded` when `owner` now has more packages than it may have.

    For after a package was added: leaving the transaction with the error takes it back.
    """
    usage = usage_of(transaction, quota, owner)
    hint = "Withdraw concepts that are not needed, or ask an admin of the center for more."
    _check(owner, "concepts", usage.used.concepts, usage.limits.concepts, hint)
    _check(owner, "bytes", usage.used.total_bytes, usage.limits.total_bytes, hint)


def check_job_quota(transaction: Transaction, quota: Quota, member: str, *, more: int = 0) -> None:
    """Raise `QuotaExceeded` when `member` has more unfinished fusions than it may have.

    `more` are those that would come on top. After a fusion was added, leaving the transaction with
    the error takes it back.
    """
    usage = usage_of(transaction, quota, member)
    hint = "Wait until a fusion is finished, or cancel one."
    _check(member, "unfinished fusions", usage.used.jobs + more, usage.limits.jobs, hint)


def usage_of(transaction: Transaction, quota: Quota, name: str) -> MemberUsage:
    """What a member has and may have; `quota` holds where it has no limits of its own."""
    member = transaction.members.get(name)
    limits = _limits(member.quota if member else Quota(), quota)
    return MemberUsage(transaction.usages.of(name), limits)


def _limits(own: Quota, common: Quota) -> Quota:
    return Quota(
        _first(own.total_bytes, common.total_bytes),
        _first(own.concepts, common.concepts),
        _first(own.jobs, common.jobs),
    )


def _first(own: int | None, common: int | None) -> int | None:
    return common if own is None else own


def _check(member: str, what: str, usage: int, limit: int | None, hint: str) -> None:
    if limit is not None and usage > limit:
        raise QuotaExceeded(
            f"With this, {member} would have {usage:,} {what}; the limit is {limit:,}.",
            hint=hint,
            quota=what,
            usage=usage,
            limit=limit,
        )
