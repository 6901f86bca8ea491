"""Who takes part."""

from __future__ import annotations

from typing import Any

from mos_protocol.errors import Conflict
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from mos_center.domain.access import Role
from mos_center.domain.members import Member
from mos_center.domain.policy import Quota
from mos_center.storage.tables import members


class SqlMembers:
    """Implements `domain.ports.Members`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, member: Member) -> None:
        try:
            with self._connection.begin_nested():
                self._connection.execute(
                    insert(members).values(
                        name=member.name, created_at=member.created_at, **_changing(member)
                    )
                )
        except IntegrityError:
            raise Conflict(
                f"There is already a member named {member.name!r}.", hint="Choose another name."
            ) from None

    def get(self, name: str) -> Member | None:
        row = self._connection.execute(select(members).where(members.c.name == name)).one_or_none()
        return _member(row) if row else None

    def all(self) -> tuple[Member, ...]:
        rows = self._connection.execute(select(members).order_by(members.c.name))
        return tuple(_member(row) for row in rows)

    def find(
        self, text: str | None, role: Role | None, *, after: str | None = None, limit: int
    ) -> tuple[Member, ...]:
        query = select(members).order_by(members.c.name).limit(limit)
        if text is not None:
            query = query.where(members.c.name.contains(text.lower(), autoescape=True))
        if role is not None:
            query = query.where(members.c.role == role)
        if after is not None:
            query = query.where(members.c.name > after)
        return tuple(_member(row) for row in self._connection.execute(query))

    def update(self, member: Member) -> None:
        self._connection.execute(
            update(members).where(members.c.name == member.name).values(**_changing(member))
        )


def _changing(member: Member) -> dict[str, object]:
    return {
        "role": member.role,
        "trusted": member.trusted,
        "disabled_at": member.disabled_at,
        "quota_bytes": member.quota.total_bytes,
        "quota_concepts": member.quota.concepts,
        "quota_jobs": member.quota.jobs,
    }


def _member(row: Row[*tuple[Any, ...]]) -> Member:
    return Member(
        name=row.name,
        role=Role(row.role),
        created_at=row.created_at,
        trusted=row.trusted,
        disabled_at=row.disabled_at,
        quota=Quota(row.quota_bytes, row.quota_concepts, row.quota_jobs),
    )
