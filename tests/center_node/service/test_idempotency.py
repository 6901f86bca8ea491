"""Keys of changes at their root: one attempt at a time, on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from mos_center.domain.idempotency import RememberedAnswer
from mos_center.opening import OpenedData
from mos_center.service.idempotency import IdempotencyService
from mos_protocol.errors import Conflict

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def answers(data: OpenedData) -> IdempotencyService:
    return IdempotencyService(data.database)


def test_of_twenty_threads_with_one_key_one_goes_ahead(answers: IdempotencyService) -> None:
    found: list[RememberedAnswer | datetime] = []
    threads = [
        threading.Thread(target=lambda: found.append(answers.begin("ada", "k", ONE)))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    begun = [one for one in found if isinstance(one, datetime)]
    assert len(begun) == 1
    answers.answer("ada", "k", begun[0], 201, "{}")
    known = answers.begin("ada", "k", ONE)
    assert isinstance(known, RememberedAnswer)
    assert (known.status, known.body) == (201, "{}")


def test_a_key_belongs_to_its_request_while_that_is_answered_and_after(
    answers: IdempotencyService,
) -> None:
    began = answers.begin("ada", "k", ONE)
    with pytest.raises(Conflict, match="another request"):
        answers.begin("ada", "k", OTHER)
    assert isinstance(began, datetime)
    answers.answer("ada", "k", began, 200, "{}")

    with pytest.raises(Conflict, match="another request"):
        answers.begin("ada", "k", OTHER)
    assert isinstance(answers.begin("bob", "k", OTHER), datetime)


def test_a_forgotten_key_is_free(answers: IdempotencyService) -> None:
    began = answers.begin("ada", "k", ONE)
    assert isinstance(began, datetime)
    answers.forget("ada", "k", began)

    assert isinstance(answers.begin("ada", "k", OTHER), datetime)


def test_who_took_over_a_dead_attempt_is_not_disturbed_by_it(data: OpenedData) -> None:
    answers = IdempotencyService(data.database, lease=timedelta(0))
    dead = answers.begin("ada", "k", ONE)
    alive = answers.begin("ada", "k", ONE)
    assert isinstance(dead, datetime)
    assert isinstance(alive, datetime)

    answers.answer("ada", "k", dead, 500, "dead")
    answers.forget("ada", "k", dead)
    answers.answer("ada", "k", alive, 200, "alive")

    known = answers.begin("ada", "k", ONE)
    assert isinstance(known, RememberedAnswer)
    assert known.body == "alive"
    assert known.created_at <= datetime.now(UTC)
