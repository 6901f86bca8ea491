"""The names that point at model versions, and how they moved."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, tuple_

from mos_center.domain.lineage import AliasMove
from mos_center.storage.tables import alias_moves, aliases


class SqlAliases:
    """Implements `domain.ports.Aliases`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, model: str, alias: str) -> int | None:
        found: int | None = self._connection.scalar(
            select(aliases.c.version).where(aliases.c.model == model, aliases.c.alias == alias)
        )
        return found

    def move(self, move: AliasMove) -> None:
        self._connection.execute(
            delete(aliases).where(aliases.c.model == move.model, aliases.c.alias == move.alias)
        )
        if move.version is not None:
            self._connection.execute(
                insert(aliases).values(model=move.model, alias=move.alias, version=move.version)
            )
        self._connection.execute(
            insert(alias_moves).values(
                id=move.id,
                model=move.model,
                alias=move.alias,
                version=move.version,
                at=move.at,
                by=move.by,
            )
        )

    def moves(
        self, model: str, alias: str, *, before: str | None = None, limit: int
    ) -> tuple[AliasMove, ...]:
        query = select(alias_moves).where(
            alias_moves.c.model == model, alias_moves.c.alias == alias
        )
        # Ids alone do not tell moves within one millisecond apart.
        order = (alias_moves.c.at, alias_moves.c.id)
        if before is not None:
            last = select(*order).where(alias_moves.c.id == before)
            query = query.where(tuple_(*order) < last.scalar_subquery())
        rows = self._connection.execute(
            query.order_by(*(column.desc() for column in order)).limit(limit)
        )
        return tuple(
            AliasMove(row.id, row.model, row.alias, row.version, row.at, row.by) for row in rows
        )
