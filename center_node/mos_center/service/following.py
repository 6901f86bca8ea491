"""Following a value that changes in the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.25
SLOWEST_POLL_SECONDS = 2.0
HEARTBEAT_SECONDS = 10.0


async def changes(
    read: Callable[[], T],
    is_final: Callable[[T], bool],
    stopping: asyncio.Event,
    slowest: float = SLOWEST_POLL_SECONDS,
) -> AsyncIterator[T | None]:
    """Yield the value at first and whenever it differs, until it is final or `stopping`.

    None is a heartbeat: nothing changed for some seconds. `read` runs in a thread, less and less
    often while nothing changes, up to `slowest` seconds apart.
    """
    last: T | None = None
    quiet, pause = 0.0, POLL_SECONDS
    while True:
        value = await asyncio.to_thread(read)
        if value != last:
            yield value
            last, quiet, pause = value, 0.0, POLL_SECONDS
        elif quiet >= HEARTBEAT_SECONDS:
            yield None
            quiet = 0.0
        if is_final(value):
            return
        try:
            await asyncio.wait_for(stopping.wait(), pause)
        except TimeoutError:
            quiet += pause
            pause = min(1.2 * pause, slowest)
        else:
            return
