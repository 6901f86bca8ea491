"""The log of all changes, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query

from mos_center.api.rest.context import Answer, Caller, CenterHere, Limit, needs_token, problems
from mos_center.domain import events

router = APIRouter(prefix="/v1/audit", tags=["audit"], dependencies=[needs_token])

MAX_SEQ = 2**63 - 1


class AuditEntry(Answer):
    """One change: who did what to which resource, and how it stood before and after.

    `hash` covers all of it and `previous`, the hash of the entry before.
    """

    seq: int
    at: datetime
    actor: str
    action: str
    resource: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str
    previous: str
    hash: str

    @classmethod
    def of(cls, entry: events.AuditEntry) -> Self:
        event = entry.event
        return cls(
            seq=entry.seq,
            at=entry.at,
            actor=event.actor,
            action=event.action,
            resource=event.resource,
            before=None if event.before is None else dict(event.before),
            after=None if event.after is None else dict(event.after),
            request_id=entry.request_id,
            previous=entry.previous,
            hash=entry.hash,
        )


class AuditPage(Answer):
    """Entries, oldest first; pass `next_after` as `after` to get the next ones."""

    items: list[AuditEntry]
    next_after: int | None


@router.get("", responses=problems())
def list_entries(
    center: CenterHere,
    caller: Caller,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    limit: Limit = 100,
) -> AuditPage:
    """Every change, oldest first; `after` is the number of the last entry that is known."""
    found = center.audit.entries(caller=caller, after=after, limit=limit)
    return AuditPage(
        items=[AuditEntry.of(entry) for entry in found],
        next_after=found[-1].seq if len(found) == limit else None,
    )
