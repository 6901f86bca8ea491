"""Searching the audit log, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mos_center.domain.access import LOCAL
from mos_center.domain.audit_actions import AUDIT_ACTIONS, actions_meant
from mos_center.domain.events import AuditEvent
from mos_center.domain.queries import AuditQuery, LogOrder
from mos_center.opening import OpenedData
from mos_center.service.audit import AuditService
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import upgrade
from sqlalchemy import event

# By number from 1.
ENTRIES = [
    ("ada", "fusion.requested", "fusion/1"),
    ("system", "fusion.published", "fusion/1"),
    ("ada", "alias.moved", "model/demo@champion"),
    ("root", "version.tombstoned", "model/demo@1"),
    ("ada", "alias.moved", "model/Demo@champion"),
    ("ada", "alias.moved", "model/demos@champion"),
    ("root", "member.added", "member/ada"),
    ("ada", "fusion.cancelled", "fusion/2"),
    ("eve", "fusion.of_old", "fusion/3"),
]


@pytest.fixture
def log(data: OpenedData) -> AuditService:
    for entry in ENTRIES:
        with data.database.write() as transaction:
            transaction.audit.record(AuditEvent(*entry))
    return AuditService(data.database)


def numbers(log: AuditService, query: AuditQuery, page: int = 100) -> list[int]:
    """All that fit, read page by page."""
    found: list[int] = []
    newest = query.order is LogOrder.NEWEST
    while True:
        key = {"before" if newest else "after": found[-1]} if found else {}
        entries = log.find(query, caller=LOCAL, limit=page, **key)
        found += [entry.seq for entry in entries]
        if len(entries) < page:
            return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (AuditQuery(), [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (AuditQuery(actor="ada"), [8, 6, 5, 3, 1]),
        (AuditQuery(actor="nobody"), []),
        (AuditQuery(action="alias.moved"), [6, 5, 3]),
        (AuditQuery(action="fusion."), [8, 2, 1]),
        (AuditQuery(action="fusion.of_old"), [9]),
        (AuditQuery(action="nothing."), []),
        (AuditQuery(resource="model/demo"), [6, 4, 3]),
        (AuditQuery(resource="model/demo@"), [4, 3]),
        (AuditQuery(resource="model/D"), [5]),
        (AuditQuery(resource="model/%"), []),
        (AuditQuery(resource=""), [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (AuditQuery(actor="ada", action="fusion."), [8, 1]),
        (AuditQuery(actor="root", action="fusion."), []),
        (AuditQuery(actor="ada", resource="model/demo"), [6, 3]),
        (AuditQuery(action="version.", resource="model/demo"), [4]),
        (AuditQuery(actor="ada", action="alias.", resource="model/demo@"), [3]),
        (AuditQuery(action="nothing.", resource="model/"), []),
    ],
    ids=str,
)
def test_entries_are_found_by_what_is_asked_newest_first(
    log: AuditService, query: AuditQuery, expected: list[int]
) -> None:
    assert numbers(log, query) == expected
    assert numbers(log, query, page=1) == expected


def test_oldest_first_finds_the_same_the_other_way_round(log: AuditService) -> None:
    for query in (AuditQuery(), AuditQuery(action="fusion."), AuditQuery(resource="model/")):
        oldest = AuditQuery(query.actor, query.action, query.resource, order=LogOrder.OLDEST)
        assert numbers(log, oldest, page=2) == numbers(log, query)[::-1]


def test_times_bound_what_is_found(log: AuditService) -> None:
    third, eighth = (log.entries(caller=LOCAL, after=seq - 1, limit=1)[0].at for seq in (3, 8))
    between = AuditQuery(since=third, until=eighth)

    assert numbers(log, between) == [7, 6, 5, 4, 3]
    assert numbers(log, AuditQuery("ada", since=third, until=eighth)) == [6, 5, 3]
    assert numbers(log, AuditQuery(since=eighth)) == [9, 8]
    assert numbers(log, AuditQuery(until=third)) == [2, 1]
    later = datetime.now(UTC) + timedelta(days=1)
    assert numbers(log, AuditQuery(since=later)) == []
    assert len(numbers(log, AuditQuery(until=later))) == len(ENTRIES)


def test_a_beginning_up_to_a_dot_means_every_known_action_of_the_noun() -> None:
    assert actions_meant("token.") == ("token.created", "token.revoked")
    assert actions_meant("token.created") == ("token.created",)
    assert actions_meant("token") == ("token",)
    assert list(AUDIT_ACTIONS) == sorted(set(AUDIT_ACTIONS))


@pytest.mark.parametrize(
    "query",
    [
        AuditQuery(actor="ada"),
        AuditQuery(action="alias.moved"),
        AuditQuery(action="fusion."),
        AuditQuery(resource="model/demo"),
        AuditQuery(actor="ada", action="fusion."),
        AuditQuery(actor="ada", action="alias.", resource="model/"),
        AuditQuery(since=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
    ids=str,
)
def test_no_filter_reads_the_whole_log(tmp_path: Path, query: AuditQuery) -> None:
    database = SqlDatabase(f"sqlite:///{tmp_path / 'center.db'}")
    upgrade(database.engine)
    asked: list[tuple[str, object]] = []

    def note(
        connection: object, cursor: object, statement: str, values: object, *_: object
    ) -> None:
        asked.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    AuditService(database).find(query, caller=LOCAL, limit=5)
    event.remove(database.engine, "before_cursor_execute", note)

    with database.engine.connect() as connection:
        plans = [
            str(row[-1])
            for statement, values in asked
            if "audit_log" in statement
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    database.close()
    assert any(plan.startswith("SEARCH audit_log") for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN audit_log")]
