"""Idempotency keys: a change that is asked for again with the same key is made once.

Same caller, key and content: the same answer. Other content: `conflict`. An answer that holds a
secret is not kept, so that the second request learns only that the first one was answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime

from mos_protocol.errors import Conflict, InvalidRequest, MosError, Unavailable
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mos_center.api.rest.problems import MEDIA_TYPE, problem_response
from mos_center.domain.idempotency import RememberedAnswer
from mos_center.service.idempotency import IdempotencyService

HEADER = "Idempotency-Key"
KEY_PATTERN = r"[!-~]{1,200}"
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
PREFIX = "/v1/"
SECRET_ANSWERS = frozenset({"/v1/tokens", "/v1/join", "/v1/webhooks", "/v1/invitations"})
"""Paths whose answers to POST hold secrets."""
QUESTIONS = frozenset({"/v1/fusions/check"})
"""Paths whose POST changes nothing: they are answered anew every time, whatever the key."""

# Whoever repeats a request that is still being answered waits this long for the answer.
PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.1
# Not the request's own outcome: the same request may have another one later.
_PASSING = frozenset({401, 408, 429})
_KEY = re.compile(KEY_PATTERN)


def is_change(method: str, path: str) -> bool:
    """Whether a key makes a difference to such a call."""
    return method in CHANGES and path.startswith(PREFIX) and path not in QUESTIONS


class IdempotentChanges:
    """Answers repeated changes from memory. Behind the gate: it needs to know who calls."""

    def __init__(
        self, app: ASGIApp, *, answers: IdempotencyService, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._app = app
        self._answers = answers
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" else None
        if key is None or not is_change(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            _check_key(key)
            body = await _read(receive)
            if body is None:
                return
            await self._answer(_Change.of(scope, key, body), scope, _Replay(body, receive), send)
        except MosError as error:
            await problem_response(error)(scope, receive, send)

    async def _answer(self, change: _Change, scope: Scope, receive: _Replay, send: Send) -> None:
        found = await self._begin(change)
        if isinstance(found, RememberedAnswer):
            await _remembered(found)(scope, receive, send)
            return
        answer = _Answer()
        kept = False
        try:
            await self._app(scope, receive, answer.take)
            kept = await self._keep(change, found, answer)
        finally:
            if not kept:
                await asyncio.to_thread(self._answers.forget, change.caller, change.key, found)
        await answer.send(send)

    async def _begin(self, change: _Change) -> RememberedAnswer | datetime:
        """The answer that is known, or the start of finding it; waits for one under way."""
        waited = 0.0
        while True:
            found = await asyncio.to_thread(
                self._answers.begin, change.caller, change.key, change.digest
            )
            if not isinstance(found, RememberedAnswer) or found.status is not None:
                return found
            if waited >= self._patience:
                # Passing, so that clients ask again: when a process died with it, it is taken over.
                raise Unavailable(
                    "The same request is still being answered.",
                    hint="Send it again in a moment.",
                    retry_after=1,
                )
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS

    async def _keep(self, change: _Change, began_at: datetime, answer: _Answer) -> bool:
        if answer.status >= 500 or answer.status in _PASSING:
            return False
        secret = answer.is_not_to_be_stored or (
            change.path in SECRET_ANSWERS and answer.status < 300
        )
        body = None if secret else bytes(answer.body).decode()
        await asyncio.to_thread(
            self._answers.answer, change.caller, change.key, began_at, answer.status, body
        )
        return True


@dataclass(frozen=True)
class _Change:
    """A request as far as its key is bound to it."""

    caller: str
    key: str
    path: str
    digest: str

    @classmethod
    def of(cls, scope: Scope, key: str, body: bytes) -> _Change:
        content = hashlib.sha256()
        query = scope.get("query_string", b"")
        for part in (scope["method"].encode(), scope["path"].encode(), query, body):
            content.update(len(part).to_bytes(8, "big") + part)
        digest = content.hexdigest()
        caller = scope.get("state", {}).get("caller")
        if caller is not None:
            return cls(caller.name, key, scope["path"], digest)
        # Strangers share no keys: what one of them asked is nothing to the next.
        return cls(
            "", hashlib.sha256(f"{key} {digest}".encode()).hexdigest(), scope["path"], digest
        )


class _Replay:
    """Hands out a body that was read already, then whatever comes after it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


@dataclass
class _Answer:
    """What the application answers, held back until it is remembered."""

    messages: list[Message] = field(default_factory=list)
    status: int = 500
    body: bytearray = field(default_factory=bytearray)

    @property
    def is_not_to_be_stored(self) -> bool:
        return "no-store" in Headers(raw=self.messages[0]["headers"]).get("cache-control", "")

    async def take(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        for message in self.messages:
            await send(message)


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when the caller went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _remembered(answer: RememberedAnswer) -> Response:
    if answer.body is None:
        raise Conflict(
            "This was done already, and its answer held a secret, which is shown once.",
            hint="If the secret is lost, revoke what was made and make a new one.",
        )
    status = answer.status or 500
    response = Response(answer.body, status)
    headers = MutableHeaders(raw=response.raw_headers)
    if answer.body:
        headers["Content-Type"] = MEDIA_TYPE if status >= 400 else "application/json"
    headers["Idempotent-Replayed"] = "true"
    return response


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"The header {HEADER} is no key.",
            hint="Give 1 to 200 visible ASCII characters, for example a random UUID.",
        )
