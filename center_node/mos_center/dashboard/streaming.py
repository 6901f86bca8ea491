"""Server-sent events: parts of a page, drawn again whenever what they show has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from mos_protocol.errors import MosError

from mos_center.dashboard.visitor import Visitor, visitor_of
from mos_center.service.following import SLOWEST_POLL_SECONDS, changes

T = TypeVar("T")

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def streamed(
    request: Request,
    read: Callable[[Visitor], T],
    draw: Callable[[T, Visitor], dict[str, str]],
    is_final: Callable[[T], bool] = lambda value: False,
    *,
    slowest: float = SLOWEST_POLL_SECONDS,
) -> StreamingResponse:
    """Send what `draw` makes of each new value: HTML by the name of the event that carries it.

    The visitor is looked up anew each time: the stream ends with the session, and when what it is
    about can't be read any more. After a final value an event `end` follows. `slowest`: seconds
    between looks while nothing changes.
    """

    def look() -> tuple[T, Visitor]:
        visitor = visitor_of(request)
        return read(visitor), visitor

    async def events() -> AsyncIterator[str]:
        try:
            async for found in changes(
                look, lambda pair: is_final(pair[0]), request.app.state.stopping, slowest
            ):
                if found is None:
                    yield ": still here\n\n"
                    continue
                for name, html in draw(*found).items():
                    yield event(name, html)
                if is_final(found[0]):
                    yield event("end", "")
        except MosError as error:
            yield event("end", error.message)

    return StreamingResponse(events(), media_type="text/event-stream", headers=_HEADERS)


def event(name: str, html: str) -> str:
    """One event; every line of its data is marked as one."""
    lines = "".join(f"data: {line}\n" for line in html.splitlines() or [""])
    return f"event: {name}\n{lines}\n"
