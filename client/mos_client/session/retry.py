"""Trying again while the other side is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from mos_protocol.errors import Unavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """`attempts` tries with doubling pauses from `first` up to `longest` seconds.

    The default waits about a minute in all: long enough for a center that is restarted.
    """

    attempts: int = 10
    first: float = 0.25
    longest: float = 15.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def pause(self, attempt: int) -> None:
        """Wait after failed attempt number `attempt`, counted from 0."""
        self.sleep(min(self.longest, self.first * 2**attempt))


class Patience:
    """Counts failures in a row; `lose` waits, or gives the error back when they are too many."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failures = 0

    def restore(self) -> None:
        """Something worked: start counting anew."""
        self._failures = 0

    def lose(self, error: Unavailable) -> None:
        """Wait before the next try; raise `error` when there have been too many."""
        self._failures += 1
        if self._failures >= self._backoff.attempts:
            raise error
        self._backoff.pause(self._failures - 1)


def retrying(action: Callable[[], T], backoff: Backoff) -> T:
    """Return what `action` returns, trying again while it raises `Unavailable`."""
    patience = Patience(backoff)
    while True:
        try:
            return action()
        except Unavailable as error:
            patience.lose(error)
