"""Rate limits at the REST edge; health is never limited."""

from __future__ import annotations

from mos_protocol.errors import RateLimited
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mos_center.api.bearer import bearer_token
from mos_center.api.rate_limits import Allowance, RateLimits
from mos_center.api.rest.problems import problem_response

UNAUTHORIZED = 401
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


class FailureLimit:
    """Refuses addresses that failed too often to prove who they are. Before the gate."""

    def __init__(self, app: ASGIApp, *, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or ("",))[0]
        token = bearer_token(Headers(scope=scope).get("authorization"))
        try:
            self._limits.check_address(address, token)
        except RateLimited as error:
            await problem_response(error)(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == UNAUTHORIZED:
                self._limits.count_failure(address)
            await send(message)

        await self._app(scope, receive, counted)


class CallLimit:
    """Refuses members who call too often, and tells everybody what is left. Behind the gate."""

    def __init__(self, app: ASGIApp, *, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get("state", {}).get("caller")
        if scope["type"] != "http" or caller is None:
            await self._app(scope, receive, send)
            return
        self._limits.know(bearer_token(Headers(scope=scope).get("authorization")))
        try:
            left = self._limits.count_call(caller)
        except RateLimited as error:
            told_with = _headers(Allowance(self._limits.per_minute, 0, error.retry_after))
            await problem_response(error, headers=told_with)(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and left is not None:
                MutableHeaders(scope=message).update(_headers(left))
            await send(message)

        await self._app(scope, receive, told)


def _headers(left: Allowance) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(left.limit),
        "RateLimit-Remaining": str(left.remaining),
        "RateLimit-Reset": str(left.reset),
    }
