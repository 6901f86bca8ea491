"""Trying again: how often, how long, and when to stop."""

from __future__ import annotations

import pytest
from mos_client.session.retry import Backoff, Patience, retrying
from mos_protocol.errors import NotFound, Unavailable


def failing(times: int, error: Exception):
    left = [error] * times

    def action() -> str:
        if left:
            raise left.pop()
        return "done"

    return action


def test_an_action_is_tried_until_it_works():
    naps: list[float] = []
    backoff = Backoff(attempts=4, first=1, longest=3, sleep=naps.append)
    assert retrying(failing(3, Unavailable("away")), backoff) == "done"
    assert naps == [1, 2, 3]


def test_the_last_error_is_told_when_it_never_works():
    backoff = Backoff(attempts=3, sleep=lambda _: None)
    with pytest.raises(Unavailable):
        retrying(failing(3, Unavailable("away")), backoff)


def test_an_error_that_waiting_cannot_mend_is_told_at_once():
    naps: list[float] = []
    with pytest.raises(NotFound):
        retrying(failing(1, NotFound("no")), Backoff(sleep=naps.append))
    assert naps == []


def test_a_success_between_failures_starts_the_count_anew():
    patience = Patience(Backoff(attempts=2, sleep=lambda _: None))
    for _ in range(5):
        patience.lose(Unavailable("away"))
        patience.restore()
    patience.lose(Unavailable("away"))
    with pytest.raises(Unavailable):
        patience.lose(Unavailable("away"))
