"""What is away is waited for, and only that."""

from __future__ import annotations

import threading

import pytest
from mos_center.jobs.patience import DELAYS, Interrupted, Patience
from mos_protocol.errors import InvalidRequest, Unavailable


class Away:
    """Raises the error so many times, then returns."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.calls = 0
        self._times = times
        self._error = error or Unavailable("The database is away.")

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return "done"


def test_what_was_away_is_called_again_until_it_is_back():
    away = Away(3)

    assert Patience([0, 0, 0])(away) == "done"
    assert away.calls == 4


def test_patience_ends_with_the_error_itself():
    away = Away(10)

    with pytest.raises(Unavailable, match="database is away"):
        Patience([0, 0])(away)
    assert away.calls == 3


def test_other_errors_are_not_tried_again():
    wrong = Away(1, InvalidRequest("That can't be."))

    with pytest.raises(InvalidRequest):
        Patience([0, 0])(wrong)
    assert wrong.calls == 1


def test_a_stopping_worker_does_not_wait():
    patience = Patience([600])
    threading.Timer(0.05, patience.end).start()

    with pytest.raises(Interrupted):
        patience(Away(1))


def test_the_delays_grow_to_about_two_minutes_in_all():
    assert list(DELAYS) == sorted(DELAYS)
    assert 100 < sum(DELAYS) < 140
