"""Transactions on SQLite or PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from mos_protocol.errors import Unavailable
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from mos_center.storage.repositories.bases import SqlBases
from mos_center.storage.repositories.blobs import SqlBlobs
from mos_center.storage.repositories.fusions import SqlFusions
from mos_center.storage.repositories.idempotency import SqlIdempotency
from mos_center.storage.repositories.models import SqlModels
from mos_center.storage.repositories.submissions import SqlSubmissions
from mos_center.storage.repositories.tokens import SqlTokens

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 20_000
_WRITES = "mos_writes"
# Any fixed number: the key of the lock that writers on PostgreSQL take.
_WRITE_LOCK = 0x6D6F73


class SqlTransaction:
    """All repositories on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def bases(self) -> SqlBases:
        return SqlBases(self._connection)

    @cached_property
    def submissions(self) -> SqlSubmissions:
        return SqlSubmissions(self._connection)

    @cached_property
    def fusions(self) -> SqlFusions:
        return SqlFusions(self._connection)

    @cached_property
    def models(self) -> SqlModels:
        return SqlModels(self._connection)

    @cached_property
    def tokens(self) -> SqlTokens:
        return SqlTokens(self._connection)

    @cached_property
    def blobs(self) -> SqlBlobs:
        return SqlBlobs(self._connection)

    @cached_property
    def idempotency(self) -> SqlIdempotency:
        return SqlIdempotency(self._connection)


class SqlDatabase:
    """The metadata database behind a URL, for example `sqlite:////srv/mos/center.db`.

    Writers come one after another, on both databases: numbers are given and blobs released
    without a gap between looking and acting.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        with _translated(), self.engine.connect() as connection, connection.begin():
            yield SqlTransaction(connection)

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        with (
            _translated(),
            self.engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITE_LOCK})
            yield SqlTransaction(connection)

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        log.warning("database.unavailable reason=%s", error.orig)
        raise Unavailable(
            "The center's database is busy or can't be reached.", hint="Try again."
        ) from error


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions of its own: `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another one wrote
    # meanwhile, whatever the busy timeout; taking the lock at the beginning makes it wait.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
