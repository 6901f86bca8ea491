"""What every HTTP request passes first: a limit on its body, and the token check."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from anyio import to_thread
from mos_protocol.errors import InvalidRequest, MosError, PermissionDenied, Unauthenticated
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mos_center.api.bearer import bearer_token
from mos_center.api.rest.problems import problem_response

MAX_BODY_BYTES = 1 << 20
PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class BodyLimit:
    """Refuses request bodies above 1 MiB: files travel over gRPC or straight to the store."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdigit() or int(announced) > MAX_BODY_BYTES:
            await _refuse(scope, receive, send, _too_large(), status=413)
            return
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > MAX_BODY_BYTES:
                raise _too_large()
            return message

        await self._app(scope, counted, send)


class TokenGate:
    """Lets only calls with a valid token through, but for health checks and the dashboard.

    Everything that is not named as public needs a token: a new route is closed until someone
    opens it. What lies below `own_login` checks its callers itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticate: Callable[[str | None], str],
        is_open: Callable[[], bool],
        own_login: str | None,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._is_open = is_open
        self._own_login = own_login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["caller"] = await to_thread.run_sync(
                self._check, scope["path"], Headers(scope=scope)
            )
        except (Unauthenticated, PermissionDenied) as error:
            await _refuse(scope, receive, send, error)
            return
        await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> str | None:
        if self._is_open():
            _check_local(headers)
        own = self._own_login
        if own is not None and (path in ("/", own) or path.startswith(f"{own}/")):
            return None
        return self._authenticate(bearer_token(headers.get("authorization")))


def _check_local(headers: Headers) -> None:
    """Without tokens, keep web pages out that a browser on this machine has open.

    Such a page reaches loopback too: by its own name pointed at 127.0.0.1, or across origins.
    """
    host = urlsplit(f"//{headers.get('host', '')}").hostname
    origin = headers.get("origin")
    if host not in _LOOPBACK_NAMES or (origin and urlsplit(origin).netloc != headers["host"]):
        raise PermissionDenied(
            "Without a token this center answers only programs on its own machine.",
            hint="Create one with `mos-center token create NAME`.",
        )


def _too_large() -> InvalidRequest:
    return InvalidRequest(
        f"The request's body has more than {MAX_BODY_BYTES} bytes.",
        hint="Send package files with PutBlob.",
    )


async def _refuse(
    scope: Scope, receive: Receive, send: Send, error: MosError, status: int | None = None
) -> None:
    await problem_response(error, status=status)(scope, receive, send)
