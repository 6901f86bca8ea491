"""How often one member may call, and one address may fail to prove who it is.

Counted in this process: each replica has counts of its own.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from mos_protocol.errors import RateLimited

from mos_center.domain.access import Caller

FAILURES_PER_MINUTE = 30
_KNOWN_TOKENS = 10_000


@dataclass(frozen=True)
class Allowance:
    """What is left of a member's calls, and in how many seconds there are more."""

    limit: int
    remaining: int
    reset: int


class RateLimits:
    """Counts calls of members and failed proofs of addresses; 0 calls: nothing is limited."""

    def __init__(
        self, calls_per_minute: int, failures_per_minute: int = FAILURES_PER_MINUTE
    ) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._calls = RateLimitItemPerMinute(calls_per_minute) if calls_per_minute else None
        self._failures = RateLimitItemPerMinute(failures_per_minute) if self._calls else None
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def per_minute(self) -> int:
        """The most calls of one member within a minute, 0 for no limit."""
        return self._calls.amount if self._calls else 0

    def count_call(self, caller: Caller) -> Allowance | None:
        """Count one call of a member; raises `RateLimited`. None: the caller has no limit.

        An open center's local callers have none: they have no tokens to tell them apart.
        """
        if self._calls is None or caller.token_id is None:
            return None
        allowed = self._limiter.hit(self._calls, "member", caller.name)
        reset, remaining = self._limiter.get_window_stats(self._calls, "member", caller.name)
        seconds = max(1, math.ceil(reset - time.time()))
        if not allowed:
            raise RateLimited(
                f"{caller.name} made {self._calls.amount} calls within a minute.",
                hint=f"Go on in {seconds} seconds, and call less often.",
                retry_after=seconds,
            )
        return Allowance(self._calls.amount, remaining, seconds)

    def check_address(self, address: str, token: str | None) -> None:
        """Raise `RateLimited` for an address that failed too often.

        A token that was right before still passes: many callers may share an address.
        """
        if self._failures is None or _is_exempt(address):
            return
        if token is not None and _digest(token) in self._known:
            return
        if not self._limiter.test(self._failures, "address", address):
            reset, _ = self._limiter.get_window_stats(self._failures, "address", address)
            seconds = max(1, math.ceil(reset - time.time()))
            raise RateLimited(
                "Too many calls from this address had no valid token.",
                hint=f"Go on in {seconds} seconds, with a valid token.",
                retry_after=seconds,
            )

    def count_failure(self, address: str) -> None:
        """Count a call that could not prove who makes it."""
        if self._failures is not None and not _is_exempt(address):
            self._limiter.hit(self._failures, "address", address)

    def know(self, token: str | None) -> None:
        """Remember a token that let its member in."""
        if token is None:
            return
        digest = _digest(token)
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > _KNOWN_TOKENS:
            self._known.popitem(last=False)


def _is_exempt(address: str) -> bool:
    """Whether it is this machine itself, or nobody knows."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
