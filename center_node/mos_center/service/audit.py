"""Reading the audit log, and proving that nobody changed it."""

from __future__ import annotations

from dataclasses import dataclass

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.events import AuditEntry, Checkpoint
from mos_center.domain.ports import Database

PAGE = 500


@dataclass(frozen=True)
class Fault:
    """The first place where the log is not as it was written."""

    seq: int
    problem: str


@dataclass(frozen=True)
class Verification:
    """What a walk along the chain found; `last` is the last entry that is proven."""

    checked: int
    last: Checkpoint
    fault: Fault | None


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

    def verify(self, *, caller: Caller, expected: Checkpoint | None = None) -> Verification:
        """Walk along the whole chain up to the first entry that is not as it was written.

        Changed, removed and swapped entries break the chain. That the newest ones were cut off, or
        all of it was written anew, only shows against a checkpoint `expected` from earlier.
        """
        caller.require(Scope.ADMIN, Role.ADMIN)
        last, fault = Checkpoint(), None
        while fault is None:
            entries = self.entries(caller=caller, after=last.seq, limit=self._page)
            if not entries:
                break
            for entry in entries:
                fault = _fault(entry, last, expected)
                if fault is not None:
                    break
                last = Checkpoint(entry.seq, entry.hash)
        if fault is None and expected is not None and last.seq < expected.seq:
            fault = Fault(last.seq + 1, f"the log once went on to number {expected.seq}")
        return Verification(last.seq, last, fault)


def _fault(entry: AuditEntry, last: Checkpoint, expected: Checkpoint | None) -> Fault | None:
    """What is wrong with the entry that comes after `last`."""
    if entry.seq != last.seq + 1:
        missing = entry.seq - last.seq - 1
        return Fault(last.seq + 1, f"{missing} entries are missing before number {entry.seq}")
    if entry.previous != last.hash:
        return Fault(entry.seq, "it does not follow the entry before it")
    if entry.hash != entry.content_hash:
        return Fault(entry.seq, "its content is not what its hash was made of")
    if expected is not None and entry.seq == expected.seq and entry.hash != expected.hash:
        return Fault(entry.seq, f"its hash was {expected.hash} when the checkpoint was noted")
    return None
