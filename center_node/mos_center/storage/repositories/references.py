"""Inserting rows that may be there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from mos_center.storage.tables import blobs


def insert_missing(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]
) -> None:
    """Insert the rows whose key is not there yet."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(postgresql.insert(table).on_conflict_do_nothing(), list(rows))
    else:
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), list(rows))


def know_blobs(connection: Connection, digests: Iterable[str]) -> None:
    """Have a row for every blob, so that it can be referred to."""
    rows = [{"sha256": sha256} for sha256 in sorted(set(digests))]
    insert_missing(connection, blobs, rows)
