"""Ids that sort by time of creation, so that lists can be paged by key."""

from __future__ import annotations

import secrets
import time


def new_id() -> str:
    """Return 32 hex digits: 12 of milliseconds since 1970, 20 random ones."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
