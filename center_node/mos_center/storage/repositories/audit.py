"""The append-only log of changes: each entry's hash covers the entry and the hash before."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from mos_center.domain.events import AuditEntry, AuditEvent, Checkpoint, Snapshot
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
