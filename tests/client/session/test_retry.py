"""Trying again: how often, how long, and when to stop."""

from __future__ import annotations

import pytest
from mos_client.session.retry import Backoff, Patience, retrying
from mos_protocol.errors import NotFound, RateLimited, Unavailable


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


def test_a_pause_that_the_other_side_asks_for_is_kept():
    naps: list[float] = []
    backoff = Backoff(attempts=4, first=1, longest=3, sleep=naps.append)
    assert retrying(failing(2, RateLimited("too many", retry_after=7)), backoff) == "done"
    assert naps == [7, 7]


@pytest.mark.parametrize(("asked", "waited"), [("soon", 1), (-5, 1), (10**9, 120)])
def test_nobody_waits_for_nonsense(asked, waited):
    naps: list[float] = []
    backoff = Backoff(attempts=2, first=1, sleep=naps.append)
    retrying(failing(1, RateLimited("too many", retry_after=asked)), backoff)
    assert naps == [waited]
