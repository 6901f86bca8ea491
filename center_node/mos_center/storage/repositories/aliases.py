"""The names that point at model versions, and how they moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, tuple_, union

from mos_center.domain.lineage import AliasHistory, AliasMove
from mos_center.storage.tables import alias_moves, aliases, model_versions


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
        return tuple(_move(row) for row in rows)

    def of_model(self, model: str, *, limit: int, moves: int) -> tuple[AliasHistory, ...]:
        named = self._named(model, limit)
        rank = func.row_number().over(
            partition_by=alias_moves.c.alias,
            order_by=(alias_moves.c.at.desc(), alias_moves.c.id.desc()),
        )
        ranked = (
            select(alias_moves, rank.label("rank"))
            .where(
                alias_moves.c.model == model,
                alias_moves.c.alias.in_([row.alias for row in named]),
            )
            .subquery()
        )
        rows = self._connection.execute(
            select(ranked).where(ranked.c.rank <= moves).order_by(ranked.c.alias, ranked.c.rank)
        )
        found: dict[str, list[AliasMove]] = defaultdict(list)
        for row in rows:
            found[row.alias].append(_move(row))
        return tuple(
            AliasHistory(
                row.alias, row.version, row.tombstoned_at is not None, tuple(found[row.alias])
            )
            for row in named
        )

    def _named(self, model: str, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
        """The aliases that a model has or had, and what each means now."""
        known = union(
            select(aliases.c.alias).where(aliases.c.model == model),
            select(alias_moves.c.alias).where(alias_moves.c.model == model),
        ).subquery()
        return self._connection.execute(
            select(known.c.alias, aliases.c.version, model_versions.c.tombstoned_at)
            .outerjoin(aliases, (aliases.c.model == model) & (aliases.c.alias == known.c.alias))
            .outerjoin(
                model_versions,
                (model_versions.c.model == model) & (model_versions.c.version == aliases.c.version),
            )
            .order_by(aliases.c.version.is_(None), known.c.alias)
            .limit(limit)
        ).all()


def _move(row: Row[*tuple[Any, ...]]) -> AliasMove:
    return AliasMove(row.id, row.model, row.alias, row.version, row.at, row.by)
