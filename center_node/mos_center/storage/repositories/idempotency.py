"""Answers to requests that came with a key."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from mos_center.domain.idempotency import RememberedAnswer
from mos_center.storage.tables import idempotency_keys as keys


class SqlIdempotencyKeys:
    """Implements `domain.ports.IdempotencyKeys`; writers come one after another."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, caller: str, key: str) -> RememberedAnswer | None:
        row = self._connection.execute(select(keys).where(*_is(caller, key))).one_or_none()
        return RememberedAnswer(row.request, row.created_at, row.status, row.body) if row else None

    def begin(self, caller: str, key: str, request: str, at: datetime) -> None:
        self._connection.execute(delete(keys).where(*_is(caller, key)))
        self._connection.execute(
            insert(keys).values(caller=caller, key=key, request=request, created_at=at)
        )

    def answer(
        self, caller: str, key: str, began_at: datetime, status: int, body: str | None
    ) -> None:
        self._connection.execute(
            update(keys)
            .where(*_is(caller, key), keys.c.created_at == began_at)
            .values(status=status, body=body)
        )

    def forget(self, caller: str, key: str, began_at: datetime) -> None:
        self._connection.execute(
            delete(keys).where(*_is(caller, key), keys.c.created_at == began_at)
        )

    def prune(self, before: datetime) -> int:
        return self._connection.execute(delete(keys).where(keys.c.created_at < before)).rowcount


def _is(caller: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return keys.c.caller == caller, keys.c.key == key
