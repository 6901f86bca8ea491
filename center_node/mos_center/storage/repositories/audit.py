"""The append-only log of changes: each entry's hash covers the entry and the hash before."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    UnaryExpression,
    false,
    insert,
    select,
    union_all,
)

from mos_center.domain.audit_actions import actions_meant
from mos_center.domain.events import AuditEntry, AuditEvent, Checkpoint, Snapshot
from mos_center.domain.queries import AuditQuery, LogOrder
from mos_center.domain.request_context import request_id
from mos_center.storage.tables import audit_log

_HASHED = tuple(column.name for column in audit_log.c if column.name != "hash")


class SqlAuditLog:
    """Implements `domain.ports.AuditLog`; writers come one after another (see `SqlDatabase`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, event: AuditEvent) -> None:
        last = self.last()
        row: dict[str, Any] = {
            "seq": last.seq + 1,
            "at": datetime.now(UTC),
            "actor": event.actor,
            "action": event.action,
            "resource": event.resource,
            "before": _text(event.before),
            "after": _text(event.after),
            "request_id": request_id.get(),
            "previous": last.hash,
        }
        self._connection.execute(insert(audit_log).values(**row, hash=entry_hash(row)))

    def last(self) -> Checkpoint:
        row = self._connection.execute(
            select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
        ).one_or_none()
        return Checkpoint(row.seq, row.hash) if row else Checkpoint()

    def entries(self, *, after: int = 0, limit: int) -> tuple[AuditEntry, ...]:
        query = select(audit_log).where(audit_log.c.seq > after)
        rows = self._connection.execute(query.order_by(audit_log.c.seq).limit(limit))
        return tuple(_entry(row) for row in rows)

    def find(
        self,
        query: AuditQuery,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> tuple[AuditEntry, ...]:
        seq = audit_log.c.seq
        bounds = [] if before is None else [seq < before]
        bounds += [] if after is None else [seq > after]
        within = self._within(query)
        if within is None:
            return ()
        found = _numbers(query, [*bounds, *within], limit)
        rows = self._connection.execute(
            select(audit_log).where(seq.in_(found)).order_by(_in_order(query, seq))
        )
        return tuple(_entry(row) for row in rows)

    def _within(self, query: AuditQuery) -> list[ColumnElement[bool]] | None:
        """Between which numbers the times of the query are; None when there is nothing.

        Entries are written in the order of time, as far as the clocks of servers agree: so a time
        is a number.
        """
        seq, numbers = audit_log.c.seq, []
        if query.since is not None:
            first = self._first_since(query.since)
            if first is None:
                return None
            numbers.append(seq >= first)
        if query.until is not None:
            end = self._first_since(query.until)
            numbers += [] if end is None else [seq < end]
        return numbers

    def _first_since(self, moment: datetime) -> int | None:
        at, seq = audit_log.c.at, audit_log.c.seq
        query = select(seq).where(at >= moment).order_by(at, seq).limit(1)
        return self._connection.scalar(query)


def _numbers(
    query: AuditQuery, bounds: list[ColumnElement[bool]], limit: int
) -> Select[tuple[int]]:
    """The numbers of the first entries that fit, read from one index alone."""
    columns = audit_log.c
    wanted = list(bounds)
    if query.actor is not None:
        wanted.append(columns.actor == query.actor)
    actions = None if query.action is None else actions_meant(query.action)
    if query.resource is not None:
        wanted += _begins_with(columns.resource, query.resource)
        wanted += [] if actions is None else [columns.action.in_(actions)]
        return _first(query, wanted, limit)
    if not actions:
        return _first(query, wanted if actions is None else [false()], limit)
    # Each action's are in order in its part of an index, whatever there is of others.
    each = (_first(query, [*wanted, columns.action == action], limit) for action in actions)
    parts = (part.subquery() for part in each)
    together = union_all(*(select(part.c.seq) for part in parts)).subquery()
    return select(together.c.seq).order_by(_in_order(query, together.c.seq)).limit(limit)


def _first(query: AuditQuery, wanted: list[ColumnElement[bool]], limit: int) -> Select[tuple[int]]:
    seq = audit_log.c.seq
    return select(seq).where(*wanted).order_by(_in_order(query, seq)).limit(limit)


def _in_order(query: AuditQuery, seq: ColumnElement[int]) -> UnaryExpression[int]:
    return seq.desc() if query.order is LogOrder.NEWEST else seq.asc()


def _begins_with(column: ColumnElement[str], beginning: str) -> list[ColumnElement[bool]]:
    """As a range, which an index answers; LIKE would look at every entry."""
    return [column >= beginning, column < beginning + chr(sys.maxunicode)]


def entry_hash(row: dict[str, Any]) -> str:
    """The sha256 of an entry's columns, `previous` included, as canonical JSON."""
    content = {**row, "at": row["at"].astimezone(UTC).isoformat(timespec="microseconds")}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _text(snapshot: Snapshot | None) -> str | None:
    if snapshot is None:
        return None
    return json.dumps(snapshot, sort_keys=True, default=str)


def _entry(row: Row[*tuple[Any, ...]]) -> AuditEntry:
    return AuditEntry(
        seq=row.seq,
        at=row.at,
        event=AuditEvent(
            row.actor, row.action, row.resource, _snapshot(row.before), _snapshot(row.after)
        ),
        request_id=row.request_id,
        previous=row.previous,
        hash=row.hash,
        content_hash=entry_hash({name: row._mapping[name] for name in _HASHED}),
    )


def _snapshot(text: str | None) -> Snapshot | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    # What `record` did not write is shown as it stands.
    return found if isinstance(found, dict) else {"unreadable": text}
