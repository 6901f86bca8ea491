"""Who works under which name: of each executor, at most one process lives.

The name is a lock that falls with its holder: of a file next to SQLite, where one worker is all,
or of a PostgreSQL session. A name whose lock is free belongs to nobody who is alive.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol, TextIO

import psycopg
from mos_protocol.errors import Conflict, Unavailable

log = logging.getLogger(__name__)

# No executor is named so.
_SWEEP = ""
# How a server learns within half a minute that a host is gone, and with it the lock.
_SERVER_OPTIONS = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": _SERVER_OPTIONS,
    "application_name": "mos-worker-slot",
}


class Slot(Protocol):
    """A worker's name, as long as it is held."""

    def take(self) -> None:
        """Hold the name from now on; raises `Conflict` when another process does."""

    def renew(self) -> None:
        """Check that it is held, and take it again when it was lost."""

    def is_held(self) -> bool:
        """Whether it is, as far as is known. Thread-safe, at no cost."""

    def sweeping(self) -> AbstractContextManager[bool]:
        """Whether this worker looks after all jobs now; one does at a time."""

    def abandoned(self, executor: str) -> AbstractContextManager[bool]:
        """Whether nobody lives under that name, which stays so inside the context."""

    def give_back(self) -> None:
        """Free the name."""


class FileSlot:
    """The only worker of a data folder; raises `Conflict` when there is one already."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def take(self) -> None:
        """Be the worker from now on."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Conflict(
                f"Another worker works on {self._path.parent.resolve()} already.",
                hint="On SQLite there is one worker; several need PostgreSQL (MOS_DATABASE_URL).",
            ) from None
        self._file = file

    def renew(self) -> None:
        """Nothing to do: the lock lasts as long as the process."""

    def is_held(self) -> bool:
        return self._file is not None

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        """Whether this worker looks after all jobs now."""
        yield True

    @contextmanager
    def abandoned(self, executor: str) -> Iterator[bool]:
        """Whether nobody lives under that name, which stays so inside the context."""
        yield True

    def give_back(self) -> None:
        """Let another one be the worker."""
        if self._file is not None:
            self._file.close()
        self._file = None


class PostgresSlot:
    """A name among the workers on one PostgreSQL database, held by a session's advisory lock.

    When the session is lost, the name is not held until `renew` took it again. Not thread-safe but
    for `is_held`.
    """

    def __init__(self, url: str, executor: str) -> None:
        self._conninfo = conninfo(url)
        self._executor = executor
        self._session: psycopg.Connection | None = None
        self._held = False

    def take(self) -> None:
        """Hold the name from now on; raises `Conflict` when another process does."""
        try:
            session = psycopg.connect(self._conninfo, autocommit=True, **_CONNECTION)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise Unavailable(
                "The jobs' database can't be reached.", hint="Look at MOS_JOBS_URL and its server."
            ) from error
        if not _try_lock(session, self._executor):
            session.close()
            raise Conflict(
                f"Another worker runs as {self._executor} already.",
                hint="Give each worker a name of its own with --executor or MOS_EXECUTOR.",
            )
        self._session, self._held = session, True

    def renew(self) -> None:
        """Check that the name is still held, and take it again when the session was lost.

        Raises `Unavailable` while the server is away, and `Conflict` when another process took
        the name meanwhile.
        """
        if self._session is not None:
            try:
                self._session.execute("SELECT 1")
                return
            except psycopg.Error:
                log.warning("worker.lost_name executor=%s", self._executor)
                self.give_back()
        self.take()
        log.info("worker.took_name executor=%s", self._executor)

    def is_held(self) -> bool:
        return self._held

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        """Whether this worker looks after all jobs now; one does at a time."""
        with self._locked(_SWEEP) as held:
            yield held

    @contextmanager
    def abandoned(self, executor: str) -> Iterator[bool]:
        """Whether nobody lives under that name, which stays so inside the context."""
        if executor == self._executor:
            yield False
            return
        with self._locked(executor) as held:
            yield held

    def give_back(self) -> None:
        """Free the name."""
        self._held = False
        session, self._session = self._session, None
        if session is not None:
            with suppress(psycopg.Error):
                # The server notices a closed session only after a while.
                session.execute("SELECT pg_advisory_unlock_all()")
                session.close()

    @contextmanager
    def _locked(self, name: str) -> Iterator[bool]:
        session = self._session
        held = session is not None and _try_lock(session, name)
        try:
            yield held
        finally:
            if held and session is not None:
                # A session that broke inside has let go by itself.
                with suppress(psycopg.Error):
                    session.execute("SELECT pg_advisory_unlock(%s)", [_key(name)])


def conninfo(url: str) -> str:
    """A SQLAlchemy URL of PostgreSQL as libpq takes it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def _try_lock(session: psycopg.Connection, name: str) -> bool:
    row = session.execute("SELECT pg_try_advisory_lock(%s)", [_key(name)]).fetchone()
    return bool(row and row[0])


def _key(name: str) -> int:
    digest = hashlib.sha256(f"mos-executor:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
