"""Issued API tokens, and the browser sessions that were opened with them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mos_protocol.errors import Conflict
from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from mos_center.domain.models import SessionRecord, TokenRecord
from mos_center.storage.tables import sessions, tokens


class SqlTokens:
    """Implements `domain.ports.Tokens`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, token: TokenRecord) -> None:
        try:
            self._connection.execute(
                insert(tokens).values(
                    name=token.name,
                    sha256=token.sha256,
                    created_at=token.created_at,
                    revoked_at=token.revoked_at,
                )
            )
        except IntegrityError:
            raise Conflict(
                f"There is already a token named {token.name!r}.",
                hint="Choose another name; a revoked token's name is not used again.",
            ) from None

    def by_sha256(self, sha256: str) -> TokenRecord | None:
        row = self._connection.execute(
            select(tokens).where(tokens.c.sha256 == sha256)
        ).one_or_none()
        return _token(row) if row else None

    def get(self, name: str) -> TokenRecord | None:
        row = self._connection.execute(select(tokens).where(tokens.c.name == name)).one_or_none()
        return _token(row) if row else None

    def all(self) -> tuple[TokenRecord, ...]:
        rows = self._connection.execute(select(tokens).order_by(tokens.c.name))
        return tuple(_token(row) for row in rows)

    def any(self) -> bool:
        return self._connection.scalar(select(tokens.c.name).limit(1)) is not None

    def revoke(self, name: str, at: datetime) -> None:
        self._connection.execute(update(tokens).where(tokens.c.name == name).values(revoked_at=at))
        self._connection.execute(delete(sessions).where(sessions.c.token == name))

    def open_session(self, session: SessionRecord) -> None:
        self._connection.execute(
            insert(sessions).values(
                sha256=session.sha256, token=session.token, expires_at=session.expires_at
            )
        )

    def session(self, sha256: str) -> SessionRecord | None:
        row = self._connection.execute(
            select(sessions).where(sessions.c.sha256 == sha256)
        ).one_or_none()
        return SessionRecord(row.sha256, row.token, row.expires_at) if row else None

    def close_session(self, sha256: str) -> None:
        self._connection.execute(delete(sessions).where(sessions.c.sha256 == sha256))


def _token(row: Row[*tuple[Any, ...]]) -> TokenRecord:
    return TokenRecord(row.name, row.sha256, row.created_at, row.revoked_at)
