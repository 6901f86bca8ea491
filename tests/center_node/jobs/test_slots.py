"""Of each name, at most one worker lives, on a file as on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from mos_center.jobs.slots import FileSlot, PostgresSlot, Slot, conninfo
from mos_protocol.errors import Conflict
from servers import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(postgres.new_database())


@pytest.fixture(params=["file", "postgres"])
def new_slot(request, tmp_path: Path) -> Iterator[Callable[[], Slot]]:
    """Makes slots of the same name."""
    made: list[Slot] = []
    url = request.getfixturevalue("url") if request.param == "postgres" else ""

    def make() -> Slot:
        slot = PostgresSlot(url, "one") if url else FileSlot(tmp_path / "worker.lock")
        made.append(slot)
        return slot

    yield make
    for slot in made:
        slot.give_back()


def test_a_second_worker_of_the_same_name_is_refused(new_slot):
    first, second = new_slot(), new_slot()
    first.take()

    with pytest.raises(Conflict) as refused:
        second.take()

    assert "already" in refused.value.message
    assert "MOS_" in refused.value.hint
    assert (first.is_held(), second.is_held()) == (True, False)


def test_a_name_that_was_given_back_can_be_taken(new_slot):
    first, second = new_slot(), new_slot()
    first.take()
    first.give_back()

    second.take()
    second.renew()

    assert (first.is_held(), second.is_held()) == (False, True)


def test_a_name_is_abandoned_when_nobody_holds_it(url):
    one, two = PostgresSlot(url, "one"), PostgresSlot(url, "two")
    one.take()
    two.take()

    with one.abandoned("two") as held, one.abandoned("three") as free, one.abandoned("one") as own:
        assert (held, free, own) == (False, True, False)
        with pytest.raises(Conflict):
            PostgresSlot(url, "three").take()
    two.give_back()
    with one.abandoned("two") as held:
        assert held
    one.give_back()


def test_one_worker_at_a_time_looks_after_the_others(url):
    one, two = PostgresSlot(url, "one"), PostgresSlot(url, "two")
    one.take()
    two.take()

    with one.sweeping() as first, two.sweeping() as second:
        assert (first, second) == (True, False)
    with two.sweeping() as second:
        assert second
    one.give_back()
    two.give_back()


def break_sessions(url: str) -> None:
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(conninfo(url)) as session:
        session.execute(query, ["mos-worker-slot"])


def test_a_name_whose_session_broke_is_taken_again(url):
    slot = PostgresSlot(url, "one")
    slot.take()
    break_sessions(url)

    slot.renew()

    assert slot.is_held()
    with pytest.raises(Conflict):
        PostgresSlot(url, "one").take()
    slot.give_back()


def test_a_name_that_another_took_meanwhile_is_lost(url):
    slot, other = PostgresSlot(url, "one"), PostgresSlot(url, "one")
    slot.take()
    break_sessions(url)
    other.take()

    with pytest.raises(Conflict):
        slot.renew()

    assert not slot.is_held()
    other.give_back()


def test_the_address_for_the_driver_names_no_driver():
    told = conninfo("postgresql+psycopg://mos:secret@db:5432/hub?sslmode=require")

    assert told == "postgresql://mos:secret@db:5432/hub?sslmode=require"
