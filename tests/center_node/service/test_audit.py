"""The audit log: what is in it, and that nobody can change it unseen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from mos_center.domain.access import LOCAL, Caller, Role, Scope
from mos_center.domain.events import AuditEvent, Checkpoint
from mos_center.domain.queries import AuditQuery
from mos_center.domain.request_context import request_id
from mos_center.opening import OpenedData
from mos_center.service.audit import AuditService
from mos_center.storage.database import SqlDatabase
from mos_center.storage.repositories.audit import entry_hash
from mos_protocol.errors import InvalidRequest, PermissionDenied
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

ENTRIES = 7
PAGE = 3


@pytest.fixture
def database(data: OpenedData) -> SqlDatabase:
    return data.database


@pytest.fixture
def written(database: SqlDatabase) -> AuditService:
    """A log with some entries, read in pages of three."""
    for number in range(ENTRIES):
        with database.write() as transaction:
            after = {"number": number, "ü": "ö"}
            transaction.audit.record(AuditEvent("ada", "tried", f"thing/{number}", None, after))
    return AuditService(database, page=PAGE)


def tamper(database: SqlDatabase, *statements: str) -> None:
    """Change the log as somebody does who owns the database."""
    postgresql = database.engine.dialect.name == "postgresql"
    triggers = (
        ["DROP TRIGGER audit_log_is_append_only ON audit_log"]
        if postgresql
        else ["DROP TRIGGER audit_log_refuses_update", "DROP TRIGGER audit_log_refuses_delete"]
    )
    with database.engine.begin() as connection:
        for statement in (*triggers, *statements):
            connection.execute(text(statement))


def test_a_log_that_nobody_touched_is_proven_and_gives_a_checkpoint(
    written: AuditService,
) -> None:
    result = written.verify(caller=LOCAL)

    assert (result.checked, result.fault) == (ENTRIES, None)
    assert written.verify(caller=LOCAL, expected=result.last).fault is None
    assert Checkpoint.parse(str(result.last)) == result.last


def test_the_database_itself_refuses_to_change_or_delete_entries(
    written: AuditService, database: SqlDatabase
) -> None:
    for statement in (
        "UPDATE audit_log SET actor = 'eve' WHERE seq = 2",
        "DELETE FROM audit_log WHERE seq = 2",
    ):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            database.engine.begin() as connection,
        ):
            connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "seq", "problem"),
    [
        ("UPDATE audit_log SET actor = 'eve' WHERE seq = 5", 5, "its content is not"),
        ("""UPDATE audit_log SET "after" = '{}' WHERE seq = 5""", 5, "its content is not"),
        ("""UPDATE audit_log SET "after" = '[broken' WHERE seq = 5""", 5, "its content is not"),
        ("UPDATE audit_log SET request_id = 'x' WHERE seq = 1", 1, "its content is not"),
        ("UPDATE audit_log SET at = '2001-01-01 00:00:00' WHERE seq = 4", 4, "its content is not"),
        ("UPDATE audit_log SET hash = previous WHERE seq = 3", 3, "its content is not"),
        ("UPDATE audit_log SET previous = hash WHERE seq = 3", 3, "does not follow"),
        ("DELETE FROM audit_log WHERE seq = 4", 4, "1 entries are missing before number 5"),
        ("DELETE FROM audit_log WHERE seq <= 2", 1, "2 entries are missing before number 3"),
    ],
)
def test_an_entry_that_was_changed_or_removed_is_named(
    written: AuditService, database: SqlDatabase, statement: str, seq: int, problem: str
) -> None:
    tamper(database, statement)

    fault = written.verify(caller=LOCAL).fault

    assert fault is not None
    assert fault.seq == seq
    assert problem in fault.problem


def test_entries_that_were_swapped_are_noticed(
    written: AuditService, database: SqlDatabase
) -> None:
    numbers = [(3, 99), (4, 3), (99, 4)]
    tamper(database, *(f"UPDATE audit_log SET seq = {b} WHERE seq = {a}" for a, b in numbers))

    fault = written.verify(caller=LOCAL).fault

    assert fault is not None
    assert fault.seq == 3


def test_a_tail_that_was_cut_off_shows_against_a_checkpoint_only(
    written: AuditService, database: SqlDatabase
) -> None:
    checkpoint = written.verify(caller=LOCAL).last
    tamper(database, "DELETE FROM audit_log WHERE seq > 4")

    assert written.verify(caller=LOCAL).fault is None
    fault = written.verify(caller=LOCAL, expected=checkpoint).fault
    assert fault is not None
    assert (fault.seq, fault.problem) == (5, f"the log once went on to number {ENTRIES}")


def test_a_log_that_was_written_anew_shows_against_a_checkpoint(
    written: AuditService, database: SqlDatabase
) -> None:
    checkpoint = written.verify(caller=LOCAL).last
    tamper(database, "DELETE FROM audit_log")
    for _ in range(ENTRIES + 1):
        with database.write() as transaction:
            transaction.audit.record(AuditEvent("eve", "tried", "thing"))

    assert written.verify(caller=LOCAL).fault is None
    fault = written.verify(caller=LOCAL, expected=checkpoint).fault
    assert fault is not None
    assert fault.seq == ENTRIES


def test_an_entry_carries_the_request_and_what_it_was_like(database: SqlDatabase) -> None:
    token = request_id.set("r-1")
    with database.write() as transaction:
        transaction.audit.record(AuditEvent("ada", "did", "thing", {"a": 1}, {"a": 2}))
    request_id.reset(token)

    (entry,) = AuditService(database).entries(caller=LOCAL, limit=10)

    assert (entry.request_id, entry.event.before, entry.event.after) == ("r-1", {"a": 1}, {"a": 2})
    assert datetime.now(UTC) - entry.at < timedelta(minutes=1)


def test_a_moment_hashes_the_same_whatever_zone_a_database_tells_it_in() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 120, UTC)
    row = {"seq": 1, "after": json.dumps({"a": 1})}

    elsewhere = at.astimezone(timezone(timedelta(hours=5)))

    assert entry_hash({**row, "at": at}) == entry_hash({**row, "at": elsewhere})


def test_only_admins_read_the_log(written: AuditService) -> None:
    curator = Caller.of("eve", Role.CURATOR, frozenset(Scope), "t")
    with pytest.raises(PermissionDenied):
        written.entries(caller=curator, limit=1)
    with pytest.raises(PermissionDenied):
        written.verify(caller=curator)
    with pytest.raises(PermissionDenied):
        written.verify_part(Checkpoint(), caller=curator)
    with pytest.raises(PermissionDenied):
        written.find(AuditQuery(), caller=curator, limit=1)


def test_the_chain_is_proven_in_parts_that_hand_on_a_checkpoint(written: AuditService) -> None:
    parts = [written.verify_part(Checkpoint(), caller=LOCAL, limit=3)]
    while not parts[-1].is_complete:
        parts.append(written.verify_part(parts[-1].last, caller=LOCAL, limit=3))

    assert [part.last.seq for part in parts] == [3, 6, 7]
    assert parts[-1].last == written.verify(caller=LOCAL).last
    again = written.verify_part(parts[-1].last, caller=LOCAL)
    assert (again.is_complete, again.fault) == (True, None)


@pytest.mark.parametrize(
    ("statement", "start", "seq", "problem"),
    [
        ("UPDATE audit_log SET actor = 'eve' WHERE seq = 5", 3, 5, "its content is not"),
        ("UPDATE audit_log SET actor = 'eve' WHERE seq = 3", 3, 3, "its content is not"),
        ("DELETE FROM audit_log WHERE seq = 4", 3, 4, "1 entries are missing"),
        ("DELETE FROM audit_log WHERE seq > 4", 5, 5, "the log once went on to number 5"),
        ("DELETE FROM audit_log WHERE seq = 3", 3, 3, "the log once went on to number 3"),
    ],
)
def test_a_part_notices_what_was_changed_since_its_checkpoint_or_behind_it(
    written: AuditService,
    database: SqlDatabase,
    statement: str,
    start: int,
    seq: int,
    problem: str,
) -> None:
    checkpoint = written.verify_part(Checkpoint(), caller=LOCAL, limit=start).last
    tamper(database, statement)

    found = written.verify_part(checkpoint, caller=LOCAL)

    assert found.fault is not None
    assert (found.fault.seq, found.is_complete) == (seq, False)
    assert problem in found.fault.problem


def test_a_checkpoint_of_another_log_is_noticed_at_its_very_end(written: AuditService) -> None:
    found = written.verify_part(Checkpoint(ENTRIES, "ab" * 32), caller=LOCAL)

    assert found.fault is not None
    assert "its hash was abab" in found.fault.problem


@pytest.mark.parametrize("given", ["", "7", "7:", "x:" + "0" * 64, "7:" + "g" * 64])
def test_what_is_no_checkpoint_is_refused(given: str) -> None:
    with pytest.raises(InvalidRequest, match="no checkpoint"):
        Checkpoint.parse(given)
