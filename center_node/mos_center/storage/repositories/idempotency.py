"""Idempotency keys."""

from __future__ import annotations

from datetime import datetime

from mos_protocol.names import Digest
from sqlalchemy import Connection, insert, select

from mos_center.domain.models import Remembered
from mos_center.storage.tables import idempotency_keys


class SqlIdempotency:
    """Implements `domain.ports.Idempotency`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, caller: str, key: str) -> Remembered | None:
        row = self._connection.execute(
            select(idempotency_keys).where(
                idempotency_keys.c.caller == caller, idempotency_keys.c.key == key
            )
        ).one_or_none()
        return Remembered(Digest(row.request), row.resource, bool(row.created)) if row else None

    def add(self, caller: str, key: str, remembered: Remembered, at: datetime) -> None:
        self._connection.execute(
            insert(idempotency_keys).values(
                caller=caller,
                key=key,
                request=remembered.request,
                resource=remembered.resource,
                created=int(remembered.created),
                created_at=at,
            )
        )
