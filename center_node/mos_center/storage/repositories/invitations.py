"""Join tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from mos_center.domain.access import Role
from mos_center.domain.members import Invitation
from mos_center.storage.tables import invitations


class SqlInvitations:
    """Implements `domain.ports.Invitations`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, invitation: Invitation) -> None:
        self._connection.execute(
            insert(invitations).values(
                id=invitation.id,
                sha256=invitation.sha256,
                name=invitation.name,
                role=invitation.role,
                trusted=invitation.trusted,
                invited_by=invitation.invited_by,
                created_at=invitation.created_at,
                expires_at=invitation.expires_at,
            )
        )

    def by_sha256(self, sha256: str) -> Invitation | None:
        return self._one(invitations.c.sha256 == sha256)

    def get(self, invitation_id: str) -> Invitation | None:
        return self._one(invitations.c.id == invitation_id)

    def open(self) -> tuple[Invitation, ...]:
        query = select(invitations).where(invitations.c.used_at.is_(None))
        rows = self._connection.execute(query.order_by(invitations.c.id.desc()))
        return tuple(_invitation(row) for row in rows)

    def use(self, invitation_id: str, member: str, at: datetime) -> bool:
        used = self._connection.execute(
            update(invitations)
            .where(invitations.c.id == invitation_id, invitations.c.used_at.is_(None))
            .values(used_at=at, used_by=member)
        )
        return used.rowcount == 1

    def remove(self, invitation_id: str) -> None:
        self._connection.execute(delete(invitations).where(invitations.c.id == invitation_id))

    def _one(self, condition: ColumnElement[bool]) -> Invitation | None:
        row = self._connection.execute(select(invitations).where(condition)).one_or_none()
        return _invitation(row) if row else None


def _invitation(row: Row[*tuple[Any, ...]]) -> Invitation:
    return Invitation(
        id=row.id,
        sha256=row.sha256,
        role=Role(row.role),
        invited_by=row.invited_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        name=row.name,
        trusted=row.trusted,
        used_at=row.used_at,
        used_by=row.used_by,
    )
