"""Answering a repeated request with the answer that it had before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mos_protocol.errors import Conflict

from mos_center.domain.idempotency import RememberedAnswer
from mos_center.domain.ports import Database

LEASE = timedelta(seconds=20)


class IdempotencyService:
    """Remembers answers by caller and key; a request that crashed may be made again."""

    def __init__(self, database: Database, lease: timedelta = LEASE) -> None:
        self._database = database
        self._lease = lease

    def begin(self, caller: str, key: str, request: str) -> RememberedAnswer | datetime:
        """Return the answer that is known, or when this attempt to find one began.

        An answer without a status: another attempt is under way. Raises `Conflict` when the key
        belongs to another request.
        """
        now = datetime.now(UTC)
        with self._database.write() as transaction:
            known = transaction.idempotency.get(caller, key)
            if known is not None:
                if known.request != request:
                    raise _used(key)
                if known.status is not None or now - known.created_at < self._lease:
                    return known
            transaction.idempotency.begin(caller, key, request, now)
        return now

    def answer(
        self, caller: str, key: str, began_at: datetime, status: int, body: str | None
    ) -> None:
        """Remember the answer; a `body` of None held a secret, which is not kept."""
        with self._database.write() as transaction:
            transaction.idempotency.answer(caller, key, began_at, status, body)

    def forget(self, caller: str, key: str, began_at: datetime) -> None:
        """Let the next request with this key try anew."""
        with self._database.write() as transaction:
            transaction.idempotency.forget(caller, key, began_at)


def _used(key: str) -> Conflict:
    return Conflict(
        f"The idempotency key {key!r} was used for another request.",
        hint="Use a new key for each request; repeat one only to ask for the same again.",
    )
