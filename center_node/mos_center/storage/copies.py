"""Copies of the metadata database: consistent while others write, and put back later."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mos_protocol.errors import Conflict, InvalidRequest, MosError, NotFound
from mos_protocol.names import Digest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from mos_center.domain.events import Checkpoint
from mos_center.storage.database import SqlDatabase, SqlTransaction

# Jobs are not copied: a worker finds what is unfinished in the ledger.
_JOBS_SCHEMA = "dbos"
_PROGRAMS = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class DatabaseCopy:
    """What is in a copy: the digests it refers to, and how far its audit log goes.

    needed: True where the blob must be in the store; an unfinished upload's need not be.
    """

    needed: dict[Digest, bool]
    audit: Checkpoint


def kind_of(database: SqlDatabase) -> str:
    """`sqlite` or `postgresql`."""
    return database.engine.dialect.name


def copy_database(database: SqlDatabase, target: Path) -> DatabaseCopy:
    """Write a consistent copy of the whole database to `target`.

    Raises `NotFound` when it has no tables, and `InvalidRequest` when PostgreSQL's own programs
    are not installed.
    """
    if not inspect(database.engine).get_table_names():
        raise NotFound("There is no database to back up.", hint="Check --data or MOS_DATABASE_URL.")
    if kind_of(database) == "sqlite":
        return _copy_sqlite(database, target)
    return _dump_postgres(database, target)


def restore_database(database: SqlDatabase, source: Path) -> None:
    """Put a copy back into a database that has no tables; raises `Conflict` when it has some."""
    if inspect(database.engine).get_table_names():
        raise Conflict(
            "The database is not empty.", hint="Restore into an empty database or data folder."
        )
    if kind_of(database) == "sqlite":
        with closing(sqlite3.connect(source)) as copy, closing(_opened(database)) as target:
            copy.backup(target)
    else:
        url = database.engine.url
        options = (f"--dbname={url.database}", "--exit-on-error", "--no-owner", "--no-privileges")
        _run("pg_restore", url, *options, str(source))


def contents_of(database: SqlDatabase) -> DatabaseCopy:
    """What the database refers to now."""
    with database.engine.connect() as connection, connection.begin():
        return _contents(connection)


def _copy_sqlite(database: SqlDatabase, target: Path) -> DatabaseCopy:
    target.unlink(missing_ok=True)
    with closing(_opened(database)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        # One file: without the log that the original writes beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    opened = SqlDatabase(f"sqlite:///{target}")
    try:
        found = contents_of(opened)
    finally:
        opened.close()
    for beside in ("-wal", "-shm"):
        target.with_name(target.name + beside).unlink(missing_ok=True)
    return found


def _opened(database: SqlDatabase) -> sqlite3.Connection:
    return sqlite3.connect(str(database.engine.url.database), timeout=60)


def _dump_postgres(database: SqlDatabase, target: Path) -> DatabaseCopy:
    with (
        database.engine.connect().execution_options(
            isolation_level="REPEATABLE READ"
        ) as connection,
        connection.begin(),
    ):
        # The dump sees what this transaction sees.
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        found = _contents(connection)
        _run(
            "pg_dump",
            database.engine.url,
            "--format=custom",
            "--no-owner",
            f"--snapshot={snapshot}",
            f"--exclude-schema={_JOBS_SCHEMA}",
            f"--file={target}",
        )
    return found


def _contents(connection: Connection) -> DatabaseCopy:
    transaction = SqlTransaction(connection)
    # The first release kept no log.
    logged = inspect(connection).has_table("audit_log")
    audit = transaction.audit.last() if logged else Checkpoint()
    return DatabaseCopy(transaction.blobs.needed(), audit)


def _run(program: str, url: URL, *arguments: str) -> None:
    done = subprocess.run(
        [_find(program), *arguments],
        env=_environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MosError(
            f"{program} failed: {done.stderr.strip()[-500:]}",
            hint="Its version must be the server's or newer.",
        )


def _environment(url: URL) -> dict[str, str]:
    """What PostgreSQL's programs read: a password is not for the list of processes."""
    told = {
        "PGHOST": url.host or url.query.get("host", ""),
        "PGPORT": url.port or "",
        "PGUSER": url.username or "",
        "PGPASSWORD": url.password or "",
        "PGDATABASE": url.database or "",
        "PGSSLMODE": url.query.get("sslmode", ""),
    }
    return {**os.environ, **{key: str(value) for key, value in told.items() if value}}


def _find(program: str) -> str:
    found = shutil.which(program) or next(
        (str(path) for path in sorted(_PROGRAMS.glob(f"*/bin/{program}"), reverse=True)), None
    )
    if found is None:
        raise InvalidRequest(
            f"{program} is not installed here.",
            hint="Install PostgreSQL's client programs, or back the database up by its own means.",
        )
    return found
