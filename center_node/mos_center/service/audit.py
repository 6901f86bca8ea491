"""Reading the audit log, and proving that nobody changed it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.events import AuditEntry, Checkpoint
from mos_center.domain.ports import Database
from mos_center.domain.queries import AuditQuery

PAGE = 500


@dataclass(frozen=True)
class Fault:
    """The first place where the log is not as it was written."""

    seq: int
    problem: str


@dataclass(frozen=True)
class Verification:
    """What a walk along the chain found; `last` is the last entry that is proven.

    `is_complete`: there is no entry behind it, so that the whole chain is proven.
    """

    checked: int
    last: Checkpoint
    fault: Fault | None
    is_complete: bool


class AuditService:
    """The use cases around the log of changes."""

    def __init__(self, database: Database, page: int = PAGE) -> None:
        self._database = database
        self._page = page

    def entries(self, *, caller: Caller, after: int = 0, limit: int) -> tuple[AuditEntry, ...]:
        """Oldest first, only numbers above `after`."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.audit.entries(after=after, limit=limit)

    def find(
        self,
        query: AuditQuery,
        *,
        caller: Caller,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> tuple[AuditEntry, ...]:
        """In the order of the query, only numbers below `before` and above `after`."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.audit.find(query, before=before, after=after, limit=limit)

    def last(self, *, caller: Caller) -> Checkpoint:
        """How far the log goes; what it says is not proven."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.audit.last()

    def verify(self, *, caller: Caller, expected: Checkpoint | None = None) -> Verification:
        """Walk along the whole chain up to the first entry that is not as it was written.

        Changed, removed and swapped entries break the chain. That the newest ones were cut off, or
        all of it was written anew, only shows against a checkpoint `expected` from earlier.
        """
        caller.require(Scope.ADMIN, Role.ADMIN)
        found = self._walk(Checkpoint(), self._page, expected)
        while found.fault is None and not found.is_complete:
            found = self._walk(found.last, self._page, expected)
        if found.fault is None and expected is not None and found.last.seq < expected.seq:
            return replace(found, fault=_cut_off(found.last.seq + 1, expected))
        return found

    def verify_part(self, start: Checkpoint, *, caller: Caller, limit: int = PAGE) -> Verification:
        """Walk on from `start`, which was proven before, along at most `limit` entries.

        Whoever goes on from `last` until it is complete has walked along the whole chain.
        """
        caller.require(Scope.ADMIN, Role.ADMIN)
        return self._walk(start, limit, start)

    def _walk(self, start: Checkpoint, limit: int, expected: Checkpoint | None) -> Verification:
        with self._database.read() as transaction:
            # The entry of `start` once more: it may have been changed since it was proven.
            known = transaction.audit.entries(after=start.seq - 1, limit=1) if start.seq else ()
            entries = transaction.audit.entries(after=start.seq, limit=limit)
        last, fault = start, _lost(start, known)
        for entry in () if fault else entries:
            fault = _fault(entry, last, expected)
            if fault is not None:
                break
            last = Checkpoint(entry.seq, entry.hash)
        return Verification(last.seq, last, fault, fault is None and len(entries) < limit)


def _lost(start: Checkpoint, known: tuple[AuditEntry, ...]) -> Fault | None:
    """What is wrong with the entry that a walk goes on from."""
    if not start.seq:
        return None
    if not known or known[0].seq != start.seq:
        return _cut_off(start.seq, start)
    if known[0].hash != start.hash:
        return _replaced(start)
    return _changed(known[0])


def _fault(entry: AuditEntry, last: Checkpoint, expected: Checkpoint | None) -> Fault | None:
    """What is wrong with the entry that comes after `last`."""
    if entry.seq != last.seq + 1:
        missing = entry.seq - last.seq - 1
        return Fault(last.seq + 1, f"{missing} entries are missing before number {entry.seq}")
    if entry.previous != last.hash:
        return Fault(entry.seq, "it does not follow the entry before it")
    if expected is not None and entry.seq == expected.seq and entry.hash != expected.hash:
        return _changed(entry) or _replaced(expected)
    return _changed(entry)


def _changed(entry: AuditEntry) -> Fault | None:
    if entry.hash == entry.content_hash:
        return None
    return Fault(entry.seq, "its content is not what its hash was made of")


def _cut_off(seq: int, expected: Checkpoint) -> Fault:
    return Fault(seq, f"the log once went on to number {expected.seq}")


def _replaced(expected: Checkpoint) -> Fault:
    return Fault(expected.seq, f"its hash was {expected.hash} when the checkpoint was noted")
