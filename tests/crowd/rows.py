"""Writing very many rows at once, and what their columns hold."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table

# The crowd began so long ago; ids and times of everything lie between then and now.
DAYS = 400
Row = dict[str, Any]


class Chance:
    """Everything that is drawn, the same in every run."""

    def __init__(self, seed: int, now: datetime) -> None:
        self.random = random.Random(seed)
        self.now = now

    def sha256(self) -> str:
        return f"{self.random.getrandbits(256):064x}"

    def moments(self, count: int) -> list[datetime]:
        """Moments of the past in their order."""
        span = DAYS * 86_400
        back = sorted((self.random.random() * span for _ in range(count)), reverse=True)
        return [self.now - timedelta(seconds=seconds) for seconds in back]

    def id_at(self, moment: datetime) -> str:
        """An id as `domain.ids` makes them, which sort by time."""
        milliseconds = int(moment.astimezone(UTC).timestamp() * 1000)
        return f"{milliseconds:012x}{self.random.getrandbits(80):020x}"


def write(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert rows that all have the same columns as the first."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    names = list(first)
    values = _values(connection, table, names, first, rows)
    cursor = connection.connection.cursor()
    if connection.dialect.name == "postgresql":
        with cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
            for row in values:
                copy.write_row(row)
        return
    places = ", ".join("?" * len(names))
    cursor.executemany(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})", values)


def _values(
    connection: Connection, table: Table, names: list[str], first: Row, rest: Iterator[Row]
) -> Iterator[tuple[Any, ...]]:
    """Each row as the driver takes it."""
    dialect = connection.dialect
    kinds = [table.c[name].type.dialect_impl(dialect) for name in names]
    converters = [kind.bind_processor(dialect) or (lambda value: value) for kind in kinds]
    pairs = list(zip(names, converters, strict=True))
    yield tuple(convert(first[name]) for name, convert in pairs)
    for row in rest:
        yield tuple(convert(row[name]) for name, convert in pairs)
