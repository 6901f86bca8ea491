"""The id of the request that is being answered: from the client to the job's log lines."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Set by the edges for each call and by workers for each job; "" outside of both."""

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}", re.ASCII)


def new_request_id() -> str:
    """Return 32 hex digits."""
    return secrets.token_hex(16)


def accepted_request_id(told: str | None) -> str:
    """Return the id that a caller sent, or a new one when it sent none that can be kept."""
    return told if told and _WELL_FORMED.fullmatch(told) else new_request_id()


@contextmanager
def request_context(identifier: str) -> Iterator[None]:
    """Have everything inside belong to the request: log lines, audit entries, webhooks."""
    before = request_id.set(identifier)
    try:
        yield
    finally:
        request_id.reset(before)
