"""Following something at the center that takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from mos_client.session.retry import Backoff, retrying

T = TypeVar("T")

POLL_SECONDS = 1.0


def each_change(
    read: Callable[[], T], is_final: Callable[[T], bool], backoff: Backoff
) -> Iterator[T]:
    """What `read` returns each time that changes, until it is final.

    A center that is restarted is waited for.
    """
    last: T | None = None
    while True:
        found = retrying(read, backoff)
        if found != last:
            yield found
        last = found
        if is_final(found):
            return
        backoff.sleep(POLL_SECONDS)
