"""Trying again while the other side is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mos_protocol.errors import MosError, RateLimited, Unavailable

T = TypeVar("T")

PASSING = (Unavailable, RateLimited)
"""Errors that waiting can mend."""
# Whatever the other side says: nobody waits longer between two tries.
LONGEST_ASKED = 120.0


@dataclass(frozen=True)
class Backoff:
    """`attempts` tries with doubling pauses from `first` up to `longest` seconds.

    The default waits about a minute in all: long enough for a center that is restarted.
    """

    attempts: int = 10
    first: float = 0.25
    longest: float = 15.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def pause(self, attempt: int, at_least: float = 0.0) -> None:
        """Wait after failed attempt number `attempt`, counted from 0."""
        self.sleep(max(at_least, min(self.longest, self.first * 2**attempt)))

    def few(self) -> Backoff:
        """The same with at most three attempts, for what a person waits for."""
        return replace(self, attempts=min(3, self.attempts))


class Patience:
    """Counts failures in a row; `lose` waits, or gives the error back when they are too many."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failures = 0

    def restore(self) -> None:
        """Something worked: start counting anew."""
        self._failures = 0

    def lose(self, error: MosError) -> None:
        """Wait before the next try; raise `error` when there have been too many."""
        self._failures += 1
        if self._failures >= self._backoff.attempts:
            raise error
        self._backoff.pause(self._failures - 1, asked_pause(error))


def retrying(
    action: Callable[[], T], backoff: Backoff, passing: tuple[type[MosError], ...] = PASSING
) -> T:
    """Return what `action` returns, trying again while it raises a `passing` error."""
    patience = Patience(backoff)
    while True:
        try:
            return action()
        except passing as error:
            patience.lose(error)


def asked_pause(error: MosError) -> float:
    """The seconds that the other side asked to wait (see `RateLimited`), within reason."""
    try:
        asked = float(str(error.fields.get("retry_after", 0)))
    except ValueError:
        return 0.0
    return min(asked, LONGEST_ASKED) if asked > 0 else 0.0
