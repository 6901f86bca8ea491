"""Transactions, on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from mos_center.domain.access import Role
from mos_center.domain.events import AuditEvent
from mos_center.domain.members import Member
from mos_center.storage.database import CONNECTIONS, SqlDatabase, writing
from mos_center.storage.migrations import upgrade
from mos_protocol.errors import Conflict, Unavailable
from mos_protocol.names import Digest
from servers import PostgresServer
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

DIGESTS = tuple(Digest(letter * 64) for letter in "abc")


def member(name: str) -> Member:
    return Member(name, Role.MEMBER, datetime.now(UTC))


def names(database: SqlDatabase) -> list[str]:
    with database.read() as transaction:
        return [item.name for item in transaction.members.all()]


def test_a_reader_sees_the_state_from_before_while_another_writes(database: SqlDatabase) -> None:
    with database.write() as writer:
        writer.members.add(member("ada"))
        assert names(database) == []

    assert names(database) == ["ada"]


def test_a_reader_sees_one_state_however_long_it_reads(database: SqlDatabase) -> None:
    with database.read() as reading:
        assert reading.members.all() == ()
        with database.write() as writer:
            writer.members.add(member("ada"))

        assert reading.members.all() == ()
        assert reading.members.get("ada") is None


def test_an_error_undoes_the_transaction(database: SqlDatabase) -> None:
    def add_and_fail() -> None:
        with database.write() as transaction:
            transaction.members.add(member("ada"))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        add_and_fail()

    assert names(database) == []


def test_a_refused_row_does_not_spoil_the_transaction(database: SqlDatabase) -> None:
    with database.write() as transaction:
        transaction.members.add(member("ada"))
        with pytest.raises(Conflict):
            transaction.members.add(member("ada"))
        transaction.members.add(member("bob"))

    assert names(database) == ["ada", "bob"]


def test_foreign_keys_are_enforced(database: SqlDatabase) -> None:
    with pytest.raises(IntegrityError), database.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO aliases (model, alias, version) VALUES ('demo', 'champion', 1)")
        )


def test_writers_in_many_threads_come_one_after_another(database: SqlDatabase) -> None:
    def write(number: int) -> None:
        with database.write() as transaction:
            transaction.audit.record(AuditEvent(f"m{number}", "test", "nothing", None, None))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as transaction:
        entries = transaction.audit.entries(limit=100)
    assert [entry.seq for entry in entries] == list(range(1, 31))
    assert all(later.previous == earlier.hash for earlier, later in pairwise(entries))


def test_the_audit_log_can_only_grow(database: SqlDatabase) -> None:
    with database.write() as transaction:
        transaction.audit.record(AuditEvent("ada", "test", "nothing", None, None))
    for change in ("DELETE FROM audit_log", "UPDATE audit_log SET actor = 'eve'"):
        with (
            pytest.raises(Exception, match="append-only"),
            database.engine.begin() as connection,
        ):
            connection.execute(text(change))


def test_what_was_never_referred_to_is_collected_but_not_released(database: SqlDatabase) -> None:
    with database.write() as transaction:
        assert transaction.blobs.release(DIGESTS) == ()
        assert transaction.blobs.unreferred(reversed(DIGESTS)) == DIGESTS
        assert transaction.blobs.collect(DIGESTS) == DIGESTS
        assert transaction.blobs.collect(DIGESTS) == DIGESTS
        assert transaction.blobs.collect(()) == ()


def test_names_have_the_same_order_on_both_databases(database: SqlDatabase) -> None:
    wanted = ["a-c", "a0", "ab", "abc", "b-a"]
    with database.write() as transaction:
        for name in reversed(wanted):
            transaction.members.add(member(name))

    assert names(database) == wanted


@pytest.fixture
def hub(postgres: PostgresServer) -> SqlDatabase:
    """A database on PostgreSQL."""
    found = SqlDatabase(postgres.url(postgres.new_database()))
    upgrade(found.engine)
    return found


def test_a_killed_postgresql_is_unavailable_and_back_after_its_restart(
    postgres: PostgresServer, hub: SqlDatabase
) -> None:
    with hub.write() as transaction:
        transaction.members.add(member("ada"))
    postgres.kill()
    try:
        with pytest.raises(Unavailable), hub.read():
            pass
        with pytest.raises(Unavailable), hub.write():
            pass
    finally:
        postgres.start()

    assert names(hub) == ["ada"]


def test_a_transaction_over_a_kill_is_unavailable_and_leaves_nothing(
    postgres: PostgresServer, hub: SqlDatabase
) -> None:
    def add_over_a_kill(*afterwards: str) -> None:
        with hub.write() as transaction:
            transaction.members.add(member("ada"))
            postgres.restart()
            for name in afterwards:
                transaction.members.add(member(name))

    with pytest.raises(Unavailable):
        add_over_a_kill("bob")
    with pytest.raises(Unavailable):
        add_over_a_kill()

    assert names(hub) == []


def test_a_writer_that_waits_too_long_is_told_to_try_again(hub: SqlDatabase) -> None:
    with hub.write(), pytest.raises(OperationalError, match="lock timeout"):
        writing(hub.engine, timeout_ms=50).__enter__()


def test_writers_that_wait_leave_connections_to_readers(postgres: PostgresServer) -> None:
    database = SqlDatabase(postgres.url(postgres.new_database()))
    upgrade(database.engine)

    def write(number: int) -> None:
        with database.write() as transaction:
            transaction.members.add(member(f"m{number}"))

    waiting = [threading.Thread(target=write, args=(n,)) for n in range(2 * CONNECTIONS)]
    with database.write():
        for thread in waiting:
            thread.start()
        assert names(database) == []
    for thread in waiting:
        thread.join()

    assert len(names(database)) == 2 * CONNECTIONS
    database.close()


def test_a_note_does_not_wait_for_writers(postgres: PostgresServer) -> None:
    database = SqlDatabase(postgres.url(postgres.new_database()))
    upgrade(database.engine)

    with database.write():
        with database.note() as transaction:
            transaction.members.add(member("ada"))
        assert names(database) == ["ada"]

    database.close()


def test_a_note_is_kept(database: SqlDatabase) -> None:
    with database.note() as transaction:
        transaction.members.add(member("ada"))

    assert names(database) == ["ada"]
