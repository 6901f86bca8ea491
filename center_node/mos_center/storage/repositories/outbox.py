"""What subscribers are to be told: events, and their delivery to each webhook."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    exists,
    insert,
    select,
    update,
)

from mos_center.domain.events import Event, EventKind
from mos_center.domain.ids import new_id
from mos_center.domain.webhooks import Delivery
from mos_center.storage.tables import deliveries, outbox, webhooks


class SqlOutbox:
    """Implements `domain.ports.Outbox`; writers come one after another (see `SqlDatabase`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, event: Event) -> None:
        rows = self._connection.execute(
            select(webhooks.c.id, webhooks.c.events).where(webhooks.c.disabled_at.is_(None))
        )
        self.send(event, [row.id for row in rows if event.kind in row.events])

    def send(self, event: Event, webhook_ids: Iterable[str]) -> str:
        event_id, now = new_id(), datetime.now(UTC)
        self._connection.execute(
            insert(outbox).values(
                id=event_id,
                kind=event.kind,
                resource=event.resource,
                data=dict(event.data),
                at=now,
            )
        )
        rows = [
            {"event": event_id, "webhook": webhook, "attempts": 0, "next_at": now, "error": ""}
            for webhook in webhook_ids
        ]
        if rows:
            self._connection.execute(insert(deliveries), rows)
        return event_id

    def due(self, now: datetime, limit: int) -> tuple[Delivery, ...]:
        query = _deliveries().where(deliveries.c.next_at <= now)
        rows = self._connection.execute(query.order_by(deliveries.c.next_at).limit(limit))
        return tuple(_delivery(row) for row in rows)

    def begin_attempt(self, delivery: Delivery, next_at: datetime) -> None:
        self._connection.execute(
            update(deliveries)
            .where(*_is(delivery))
            .values(attempts=delivery.attempts + 1, next_at=next_at)
        )

    def end_attempt(self, delivery: Delivery) -> None:
        self._connection.execute(
            update(deliveries)
            # Unless the attempt took so long that somebody else began another one.
            .where(*_is(delivery), deliveries.c.attempts == delivery.attempts)
            .values(
                next_at=delivery.next_at,
                delivered_at=delivery.delivered_at,
                error=delivery.error,
            )
        )

    def deliveries(
        self, webhook_id: str, *, before: str | None = None, limit: int
    ) -> tuple[Delivery, ...]:
        query = _deliveries().where(deliveries.c.webhook == webhook_id)
        if before is not None:
            query = query.where(deliveries.c.event < before)
        rows = self._connection.execute(query.order_by(deliveries.c.event.desc()).limit(limit))
        return tuple(_delivery(row) for row in rows)

    def prune(self, before: datetime) -> int:
        old = select(outbox.c.id).where(outbox.c.at < before)
        self._connection.execute(
            delete(deliveries).where(deliveries.c.event.in_(old), deliveries.c.next_at.is_(None))
        )
        waiting = exists().where(deliveries.c.event == outbox.c.id)
        gone = self._connection.execute(delete(outbox).where(outbox.c.at < before, ~waiting))
        return gone.rowcount


def _deliveries() -> Select[Any]:
    return select(
        deliveries, outbox.c.kind, outbox.c.resource, outbox.c.data, outbox.c.at
    ).join_from(deliveries, outbox, deliveries.c.event == outbox.c.id)


def _is(delivery: Delivery) -> tuple[ColumnElement[bool], ...]:
    return (
        deliveries.c.event == delivery.event_id,
        deliveries.c.webhook == delivery.webhook_id,
    )


def _delivery(row: Row[*tuple[Any, ...]]) -> Delivery:
    return Delivery(
        event_id=row.event,
        webhook_id=row.webhook,
        event=Event(EventKind(row.kind), row.resource, row.data),
        at=row.at,
        attempts=row.attempts,
        next_at=row.next_at,
        delivered_at=row.delivered_at,
        error=row.error,
    )
