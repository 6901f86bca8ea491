"""Answers that are remembered, so that a change that is asked for twice is made once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class RememberedAnswer:
    """What a request with a key was answered.

    `request` is the digest of the request. Without a status it is not answered yet; with a status
    and without a body the answer held a secret, which is not kept.
    """

    request: str
    created_at: datetime
    status: int | None = None
    body: str | None = None
