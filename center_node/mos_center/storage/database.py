"""Transactions on SQLite or PostgreSQL."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property

from mos_protocol.errors import Unavailable
from sqlalchemy import (
    Connection,
    Engine,
    column,
    create_engine,
    event,
    func,
    inspect,
    select,
    table,
)
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from mos_center.storage.repositories.aliases import SqlAliases
from mos_center.storage.repositories.audit import SqlAuditLog
from mos_center.storage.repositories.audits import SqlConceptAudits
from mos_center.storage.repositories.bases import SqlBases
from mos_center.storage.repositories.blobs import SqlBlobs
from mos_center.storage.repositories.compositions import SqlCompositions
from mos_center.storage.repositories.concepts import SqlConcepts
from mos_center.storage.repositories.counts import SqlCounts
from mos_center.storage.repositories.evaluations import SqlEvaluations
from mos_center.storage.repositories.fusion_events import SqlFusionEvents
from mos_center.storage.repositories.fusions import SqlFusions
from mos_center.storage.repositories.idempotency import SqlIdempotencyKeys
from mos_center.storage.repositories.invitations import SqlInvitations
from mos_center.storage.repositories.lineage import SqlLineages
from mos_center.storage.repositories.marks import SqlMarks
from mos_center.storage.repositories.members import SqlMembers
from mos_center.storage.repositories.models import SqlModels
from mos_center.storage.repositories.outbox import SqlOutbox
from mos_center.storage.repositories.submissions import SqlSubmissions
from mos_center.storage.repositories.tokens import SqlTokens
from mos_center.storage.repositories.usage import SqlUsages
from mos_center.storage.repositories.webhooks import SqlWebhooks
from mos_center.storage.repositories.workers import SqlWorkers

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 20_000
CONNECT_SECONDS = 5
CONNECTIONS = 20
WRITES = "mos_writes"
# Where the migrations keep the revision of the schema.
VERSIONS = "alembic_version"
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
    def fusion_events(self) -> SqlFusionEvents:
        return SqlFusionEvents(self._connection)

    @cached_property
    def models(self) -> SqlModels:
        return SqlModels(self._connection)

    @cached_property
    def aliases(self) -> SqlAliases:
        return SqlAliases(self._connection)

    @cached_property
    def lineage(self) -> SqlLineages:
        return SqlLineages(self._connection)

    @cached_property
    def marks(self) -> SqlMarks:
        return SqlMarks(self._connection)

    @cached_property
    def usages(self) -> SqlUsages:
        return SqlUsages(self._connection)

    @cached_property
    def workers(self) -> SqlWorkers:
        return SqlWorkers(self._connection)

    @cached_property
    def tokens(self) -> SqlTokens:
        return SqlTokens(self._connection)

    @cached_property
    def blobs(self) -> SqlBlobs:
        return SqlBlobs(self._connection)

    @cached_property
    def concepts(self) -> SqlConcepts:
        return SqlConcepts(self._connection)

    @cached_property
    def members(self) -> SqlMembers:
        return SqlMembers(self._connection)

    @cached_property
    def invitations(self) -> SqlInvitations:
        return SqlInvitations(self._connection)

    @cached_property
    def audits(self) -> SqlConceptAudits:
        return SqlConceptAudits(self._connection)

    @cached_property
    def compositions(self) -> SqlCompositions:
        return SqlCompositions(self._connection)

    @cached_property
    def evaluations(self) -> SqlEvaluations:
        return SqlEvaluations(self._connection)

    @cached_property
    def audit(self) -> SqlAuditLog:
        return SqlAuditLog(self._connection)

    @cached_property
    def outbox(self) -> SqlOutbox:
        return SqlOutbox(self._connection)

    @cached_property
    def webhooks(self) -> SqlWebhooks:
        return SqlWebhooks(self._connection)

    @cached_property
    def idempotency(self) -> SqlIdempotencyKeys:
        return SqlIdempotencyKeys(self._connection)

    @cached_property
    def counts(self) -> SqlCounts:
        return SqlCounts(self._connection)


class SqlDatabase:
    """The metadata database behind a URL, for example `sqlite:////srv/mos/center.db`.

    Writers come one after another, on both databases: numbers are given and blobs released
    without a gap between looking and acting.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._writing = threading.Lock()

    @property
    def kind(self) -> str:
        return self.engine.dialect.name

    def revision(self) -> str | None:
        with translated(), self._reading() as connection, connection.begin():
            if not inspect(connection).has_table(VERSIONS):
                return None
            return connection.scalar(select(column("version_num")).select_from(table(VERSIONS)))

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        with translated(), self._reading() as connection, connection.begin():
            yield SqlTransaction(connection)

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        with self._turn(), translated(), writing(self.engine) as connection:
            yield SqlTransaction(connection)

    @contextmanager
    def note(self) -> Iterator[SqlTransaction]:
        if self.engine.dialect.name == "sqlite":
            with self.write() as transaction:
                yield transaction
            return
        with translated(), self.engine.begin() as connection:
            yield SqlTransaction(connection)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for this process's other writers, without a connection that readers could use."""
        if not self._writing.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise _unavailable(TimeoutError("other writers take too long"))
        try:
            yield
        finally:
            self._writing.release()

    def _reading(self) -> Connection:
        connection = self.engine.connect()
        if connection.dialect.name == "postgresql":
            # Every statement sees the same state, as on SQLite.
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        return connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def writing(
    engine: Engine, timeout_ms: int = BUSY_TIMEOUT_MS, *, alters_tables: bool = False
) -> Iterator[Connection]:
    """A transaction that begins when no other process writes; waits that long for it."""
    with (
        engine.connect().execution_options(**{WRITES: True}) as connection,
        _tables_replaceable(connection) if alters_tables else nullcontext(),
        connection.begin(),
    ):
        if connection.dialect.name == "postgresql":
            limit = func.set_config("lock_timeout", str(timeout_ms), True)
            connection.execute(select(limit, func.pg_advisory_xact_lock(_WRITE_LOCK)))
        yield connection


@contextmanager
def _tables_replaceable(connection: Connection) -> Iterator[None]:
    """SQLite alters a table by dropping it, which rows that refer to it would not allow."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    # Not through SQLAlchemy: that would begin a transaction, in which this has no effect.
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


@contextmanager
def translated() -> Iterator[None]:
    """Raise `Unavailable` for what goes wrong between here and the database."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise _unavailable(error.orig) from error
    except PoolTimeoutError as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise _unavailable(error.orig) from error


def _unavailable(reason: BaseException | None) -> Unavailable:
    log.warning("database.unavailable reason=%s", " ".join(str(reason).split()))
    return Unavailable("The center's database is busy or can't be reached.", hint="Try again.")


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(
            url,
            # Connections that died with a restarted server are replaced before they are used.
            pool_pre_ping=True,
            # All are kept: those beyond `pool_size` would be opened anew for every transaction.
            pool_size=CONNECTIONS,
            max_overflow=0,
            connect_args={"connect_timeout": CONNECT_SECONDS},
        )
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
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
