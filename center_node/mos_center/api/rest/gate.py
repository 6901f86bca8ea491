"""What every HTTP request passes first: a limit on its body, and the check of its rights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from re import Pattern
from urllib.parse import urlsplit

from anyio import to_thread
from mos_protocol.errors import (
    InvalidRequest,
    MosError,
    NotFound,
    PermissionDenied,
)
from starlette.datastructures import Headers
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mos_center.api.bearer import bearer_token
from mos_center.api.rest.problems import problem_response
from mos_center.domain.access import Caller
from mos_center.domain.rights import Needs, Public, Right

MAX_BODY_BYTES = 1 << 20
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


@dataclass(frozen=True)
class _Entry:
    """A path template of the table of rights, with the right of each method."""

    path: Pattern[str]
    literals: int
    rights: Mapping[str, Right]


class RightsTable:
    """Finds the right that a request needs; the path template with most literals decides."""

    def __init__(self, rights: Mapping[tuple[str, str], Right]) -> None:
        templates: dict[str, dict[str, Right]] = {}
        for (method, template), right in rights.items():
            templates.setdefault(template, {})[method] = right
        self._entries = [_entry(template, found) for template, found in templates.items()]
        self._entries.sort(key=lambda entry: -entry.literals)

    def methods(self, path: str) -> Mapping[str, Right]:
        """The methods that `path` can be called with, and the right that each needs."""
        for entry in self._entries:
            if entry.path.match(path):
                return entry.rights
        return {}


def _entry(template: str, rights: Mapping[str, Right]) -> _Entry:
    pattern, form, _ = compile_path(template)
    parts = form.split("/")
    literals = sum(not part.startswith("{") for part in parts)
    reading = {"HEAD": rights["GET"]} if "GET" in rights else {}
    return _Entry(pattern, literals, {**rights, **reading})


class RightsGate:
    """Lets a call through when the table of rights lists it and the token is good for it.

    What the table does not list can't be called at all: a new route is closed until someone opens
    it. What lies below `own_login` checks its callers itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        rights: RightsTable,
        authenticate: Callable[[str | None], Caller],
        is_open: Callable[[], bool],
        own_login: str | None,
    ) -> None:
        self._app = app
        self._rights = rights
        self._authenticate = authenticate
        self._is_open = is_open
        self._own_login = own_login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path, methods = scope["path"], self._rights.methods(scope["path"])
        right = methods.get(scope["method"])
        if isinstance(right, Public):
            await self._app(scope, receive, send)
            return
        try:
            if self._has_own_login(path):
                await to_thread.run_sync(self._check_origin, headers)
            else:
                caller = await to_thread.run_sync(self._caller, headers)
                scope.setdefault("state", {})["caller"] = caller
                check_right(caller, right)
        except MosError as error:
            await _refuse(scope, receive, send, error)
            return
        except _NotListedError:
            await _refuse_unlisted(scope, receive, send, sorted(methods))
            return
        await self._app(scope, receive, send)

    def _has_own_login(self, path: str) -> bool:
        own = self._own_login
        return own is not None and (path in ("/", own) or path.startswith(f"{own}/"))

    def _caller(self, headers: Headers) -> Caller:
        self._check_origin(headers)
        return self._authenticate(bearer_token(headers.get("authorization")))

    def _check_origin(self, headers: Headers) -> None:
        if self._is_open():
            _check_local(headers)


class _NotListedError(Exception):
    """The table of rights does not know this call."""


def check_right(caller: Caller, right: Right | None) -> None:
    """Raise `PermissionDenied` when the caller has not what the call needs."""
    if right is None:
        raise _NotListedError
    if isinstance(right, Needs):
        right.check(caller)


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


async def _refuse_unlisted(scope: Scope, receive: Receive, send: Send, methods: list[str]) -> None:
    """Answer as if there were no such route, or not with this method."""
    what = f"{scope['method']} {scope['path']}"
    hint = "GET /openapi.json lists every route."
    if not methods:
        await _refuse(scope, receive, send, NotFound(f"{what}: Not Found.", hint=hint))
        return
    error = InvalidRequest(f"{what}: Method Not Allowed.", hint=hint)
    response = problem_response(error, status=405, headers={"Allow": ", ".join(methods)})
    await response(scope, receive, send)


async def _refuse(
    scope: Scope, receive: Receive, send: Send, error: MosError, status: int | None = None
) -> None:
    await problem_response(error, status=status)(scope, receive, send)
