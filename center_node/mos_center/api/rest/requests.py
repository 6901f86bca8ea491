"""Around every HTTP request: its id, how long it took, and a line in the log."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from time import monotonic
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mos_center.domain.request_context import accepted_request_id, request_context
from mos_center.telemetry import metrics

log = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
# A path that no route has; as a label it must not grow with what strangers try.
_NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Requests:
    """Takes or makes the request's id, answers it back, measures and logs.

    Around the whole application, so that what its outermost error handler says has the id too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = accepted_request_id(Headers(scope=scope).get(REQUEST_ID))
        began, status = monotonic(), 500

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(raw=message.setdefault("headers", []))[REQUEST_ID] = identifier
            await send(message)

        with request_context(identifier), metrics.in_flight("http"):
            try:
                await self._app(scope, receive, answered)
            finally:
                _tell(scope, status, monotonic() - began)


def _tell(scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = template_of(scope)
    metrics.HTTP_REQUESTS.labels(method, route, status).inc()
    metrics.HTTP_SECONDS.labels(method, route).observe(seconds)
    level = logging.DEBUG if status < 400 and method in ("GET", "HEAD") else logging.INFO
    log.log(
        level,
        "http.answered method=%s route=%s status=%d seconds=%.3f",
        method,
        route,
        status,
        seconds,
    )


def template_of(scope: MutableMapping[str, Any]) -> str:
    """The path template of the route that answered, with where it is mounted."""
    path = getattr(scope.get("route"), "path", None)
    return f"{scope.get('root_path', '')}{path}" if path else _NO_ROUTE
