"""The log of all changes, for admins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime

from mos_center.api.rest.context import (
    Answer,
    Caller,
    CenterHere,
    Filter,
    Limit,
    needs_token,
    problems,
)
from mos_center.domain import events
from mos_center.domain.queries import AuditQuery, LogOrder

router = APIRouter(prefix="/v1/audit", tags=["audit"], dependencies=[needs_token])

MAX_SEQ = 2**63 - 1


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("no such moment in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
# As long as a resource can be.
LongFilter = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


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
    """Entries in the order that was asked for.

    For the next ones pass `next_after` as `after`, or `next_before` as `before` when the newest
    come first.
    """

    items: list[AuditEntry]
    next_after: int | None
    next_before: int | None


@router.get("", responses=problems())
def list_entries(
    center: CenterHere,
    caller: Caller,
    actor: Filter = None,
    action: Filter = None,
    resource: LongFilter = None,
    since: Moment | None = None,
    until: Moment | None = None,
    order: LogOrder = LogOrder.OLDEST,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    before: Annotated[int, Query(ge=0, le=MAX_SEQ)] = MAX_SEQ,
    limit: Limit = 100,
) -> AuditPage:
    """Every change, as far as it fits, between the numbers `after` and `before`.

    `action` is one (`fusion.failed`), or several up to a dot (`fusion.`); `resource` is what its
    name begins with (`model/demo`). `since` counts itself, `until` does not.
    """
    query = AuditQuery(actor, action, resource, since, until, order)
    found = center.audit.find(query, caller=caller, before=before, after=after, limit=limit)
    following = found[-1].seq if len(found) == limit else None
    newest = order is LogOrder.NEWEST
    return AuditPage(
        items=[AuditEntry.of(entry) for entry in found],
        next_after=None if newest else following,
        next_before=following if newest else None,
    )
