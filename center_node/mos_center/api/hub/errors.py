"""What a refusal on a hub route also says, so that the stock client tells it rightly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from mos_protocol.errors import Gone, NotFound
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mos_center.domain.models import ModelVersion

_HUB_PATH = re.compile(r"/api/(models|whoami-v2)(/|$)|/[^/]+/[^/]+/resolve/")
# The stock client reads every other 401 over https as "there is no such repository".
_BAD_TOKEN = "Invalid credentials in Authorization header"


def repository_not_found(repository: str) -> NotFound:
    """No model of this name, or none that the caller may see."""
    return NotFound(
        f"There is no model {repository!r} here, or none for you to see.",
        hint="`hf models ls` lists those that you can load.",
        hub="RepoNotFound",
    )


def revision_not_found(repository: str, revision: str) -> NotFound:
    return NotFound(
        f"{repository} has no revision {revision!r}.",
        hint="A revision is v3, 3, latest, an alias, or a commit.",
        hub="RevisionNotFound",
    )


def revision_gone(repository: str, error: Gone) -> Gone:
    """A tombstoned version; the client stops there and tells why."""
    return Gone(f"{repository}: {error.message}", hint=error.hint, hub="RevisionNotFound")


def entry_not_found(version: ModelVersion, path: str) -> NotFound:
    return NotFound(
        f"{version.model}@{version.version} has no {path!r}.",
        hint="Its tree lists what there is.",
        hub="EntryNotFound",
        commit=version.commit,
    )


class HubRefusals:
    """Adds `X-Error-Code`, `X-Error-Message` and `error` to every problem on a hub route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _HUB_PATH.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def told(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and message["status"] >= 400:
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    await _send_refusal(start, body, send)

        await self._app(scope, receive, told)


async def _send_refusal(start: Message, body: bytes, send: Send) -> None:
    problem = _problem(body)
    if problem is not None:
        told = f"{problem['detail']} {problem['hint']}".strip()
        body = json.dumps({**problem, "error": told}).encode()
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(body))
        unauthenticated = start["status"] == HTTPStatus.UNAUTHORIZED
        headers["x-error-message"] = _BAD_TOKEN if unauthenticated else _header_value(told)
        if kind := _kind(start["status"], problem):
            headers["x-error-code"] = kind
        if commit := problem["fields"].get("commit"):
            # With it the client remembers that this version lacks the file.
            headers["x-repo-commit"] = commit
        start = {**start, "headers": headers.raw}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _problem(body: bytes) -> dict[str, Any] | None:
    try:
        problem = json.loads(body)
    except ValueError:
        return None
    return problem if isinstance(problem, dict) and {"detail", "hint"} <= set(problem) else None


def _kind(status: int, problem: Mapping[str, Any]) -> str | None:
    if status == HTTPStatus.FORBIDDEN:
        return "GatedRepo"
    kind = problem["fields"].get("hub")
    return str(kind) if kind else None


def _header_value(text: str) -> str:
    """The text as a header can carry it."""
    return text.encode("latin-1", errors="replace").decode("latin-1")
