"""Issued API tokens, and the browser sessions that were opened with them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from mos_protocol.errors import Conflict
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mos_center.domain.access import Scope
from mos_center.domain.members import SessionRecord, TokenRecord
from mos_center.storage.tables import api_tokens, sessions


class SqlTokens:
    """Implements `domain.ports.Tokens`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, token: TokenRecord) -> None:
        try:
            with self._connection.begin_nested():
                self._connection.execute(
                    insert(api_tokens).values(
                        id=token.id,
                        member=token.member,
                        name=token.name,
                        sha256=token.sha256,
                        scopes=sorted(token.scopes),
                        created_at=token.created_at,
                        expires_at=token.expires_at,
                    )
                )
        except IntegrityError:
            raise Conflict(
                f"{token.member} already has a token named {token.name!r}.",
                hint="Choose another name; a revoked token's name is not used again.",
            ) from None

    def by_sha256(self, sha256: str) -> TokenRecord | None:
        return self._one(select(api_tokens).where(api_tokens.c.sha256 == sha256))

    def get(self, token_id: str) -> TokenRecord | None:
        return self._one(select(api_tokens).where(api_tokens.c.id == token_id))

    def find(self, member: str | None = None) -> tuple[TokenRecord, ...]:
        query = select(api_tokens).order_by(api_tokens.c.member, api_tokens.c.name)
        if member is not None:
            query = query.where(api_tokens.c.member == member)
        return tuple(_token(row) for row in self._connection.execute(query))

    def newest(
        self, member: str | None, *, before: str | None = None, limit: int
    ) -> tuple[TokenRecord, ...]:
        query = select(api_tokens).order_by(api_tokens.c.id.desc()).limit(limit)
        if member is not None:
            query = query.where(api_tokens.c.member == member)
        if before is not None:
            query = query.where(api_tokens.c.id < before)
        return tuple(_token(row) for row in self._connection.execute(query))

    def last_used(self, members: Collection[str]) -> dict[str, datetime]:
        last = func.max(api_tokens.c.last_used_at).label("last")
        query = (
            select(api_tokens.c.member, last)
            .where(api_tokens.c.member.in_(members), api_tokens.c.last_used_at.is_not(None))
            .group_by(api_tokens.c.member)
        )
        return {row.member: row.last for row in self._connection.execute(query)}

    def any(self) -> bool:
        return self._connection.scalar(select(api_tokens.c.id).limit(1)) is not None

    def revoke(self, token_id: str, at: datetime) -> None:
        self._connection.execute(
            update(api_tokens).where(api_tokens.c.id == token_id).values(revoked_at=at)
        )
        self._connection.execute(delete(sessions).where(sessions.c.token == token_id))

    def used(self, token_id: str, at: datetime) -> None:
        self._connection.execute(
            update(api_tokens).where(api_tokens.c.id == token_id).values(last_used_at=at)
        )

    def open_session(self, session: SessionRecord) -> None:
        self._connection.execute(
            insert(sessions).values(
                sha256=session.sha256, token=session.token_id, expires_at=session.expires_at
            )
        )

    def session(self, sha256: str) -> SessionRecord | None:
        row = self._connection.execute(
            select(sessions).where(sessions.c.sha256 == sha256)
        ).one_or_none()
        return SessionRecord(row.sha256, row.token, row.expires_at) if row else None

    def close_session(self, sha256: str) -> None:
        self._connection.execute(delete(sessions).where(sessions.c.sha256 == sha256))

    def close_sessions(self, member: str) -> None:
        owned = select(api_tokens.c.id).where(api_tokens.c.member == member)
        self._connection.execute(delete(sessions).where(sessions.c.token.in_(owned)))

    def _one(self, query: Any) -> TokenRecord | None:
        row = self._connection.execute(query).one_or_none()
        return _token(row) if row else None


def _token(row: Row[*tuple[Any, ...]]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        member=row.member,
        name=row.name,
        sha256=row.sha256,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
