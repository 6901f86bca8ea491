"""Subscriptions to events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mos_center.domain.events import EventKind
from mos_center.domain.webhooks import Webhook
from mos_center.storage.tables import deliveries, webhooks


class SqlWebhooks:
    """Implements `domain.ports.Webhooks`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, webhook: Webhook) -> None:
        self._connection.execute(
            insert(webhooks).values(
                id=webhook.id,
                url=webhook.url,
                secret=webhook.secret,
                events=sorted(webhook.events),
                created_by=webhook.created_by,
                created_at=webhook.created_at,
            )
        )

    def get(self, webhook_id: str) -> Webhook | None:
        row = self._connection.execute(
            select(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.disabled_at.is_(None))
        ).one_or_none()
        return _webhook(row) if row else None

    def all(self) -> tuple[Webhook, ...]:
        query = select(webhooks).where(webhooks.c.disabled_at.is_(None))
        rows = self._connection.execute(query.order_by(webhooks.c.id.desc()))
        return tuple(_webhook(row) for row in rows)

    def remove(self, webhook_id: str, at: datetime) -> None:
        # The row stays for the deliveries that were made; its secret does not.
        self._connection.execute(
            update(webhooks).where(webhooks.c.id == webhook_id).values(disabled_at=at, secret="")
        )
        self._connection.execute(
            update(deliveries)
            .where(deliveries.c.webhook == webhook_id, deliveries.c.next_at.is_not(None))
            .values(next_at=None, error="The webhook was removed.")
        )


def _webhook(row: Row[*tuple[Any, ...]]) -> Webhook:
    return Webhook(
        id=row.id,
        url=row.url,
        events=frozenset(EventKind(kind) for kind in row.events),
        created_by=row.created_by,
        created_at=row.created_at,
        secret=row.secret,
    )
