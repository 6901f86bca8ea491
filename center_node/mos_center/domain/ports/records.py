"""Repositories of what is written down about changes, and of what others are told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from mos_center.domain.events import AuditEntry, AuditEvent, Checkpoint, Event
from mos_center.domain.idempotency import RememberedAnswer
from mos_center.domain.models import Priority
from mos_center.domain.overview import Stored, Waiting
from mos_center.domain.queries import AuditQuery
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.domain.webhooks import Delivery, Webhook


class AuditLog(Protocol):
    """The append-only log of changes, chained by hashes."""

    def record(self, event: AuditEvent) -> None:
        """Append an entry, with the time and the id of the request that is being answered."""

    def last(self) -> Checkpoint:
        """How far the log goes."""

    def entries(self, *, after: int = 0, limit: int) -> tuple[AuditEntry, ...]:
        """Oldest first, only numbers above `after`."""

    def find(
        self,
        query: AuditQuery,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> tuple[AuditEntry, ...]:
        """In the order of the query, only numbers below `before` and above `after`."""


class Outbox(Protocol):
    """What subscribers are to be told, and how far that is."""

    def add(self, event: Event) -> None:
        """Have the event delivered to who subscribed, once this transaction has ended."""

    def send(self, event: Event, webhook_ids: Iterable[str]) -> str:
        """Have it delivered to these webhooks, whatever they subscribed to; return its id."""

    def due(self, now: datetime, limit: int) -> tuple[Delivery, ...]:
        """Deliveries that wait for their next attempt, those that wait longest first."""

    def begin_attempt(self, delivery: Delivery, next_at: datetime) -> None:
        """Count an attempt; nobody else makes one before `next_at`."""

    def end_attempt(self, delivery: Delivery) -> None:
        """Write how its last attempt ended, unless another one has begun meanwhile."""

    def deliveries(
        self, webhook_id: str, *, before: str | None = None, limit: int
    ) -> tuple[Delivery, ...]:
        """A webhook's deliveries, newest event first, only event ids below `before`."""

    def prune(self, before: datetime) -> int:
        """Forget events from before then that nobody waits for; return how many."""


class Webhooks(Protocol):
    """Subscriptions to events; removed ones are not seen any more."""

    def add(self, webhook: Webhook) -> None: ...

    def get(self, webhook_id: str) -> Webhook | None: ...

    def all(self) -> tuple[Webhook, ...]:
        """Every subscription, newest first."""

    def remove(self, webhook_id: str, at: datetime) -> None:
        """Deliver nothing to it any more."""


class WebhookSender(Protocol):
    """Sends one delivery over the network."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """POST it once; raises `DeliveryFailed` unless it was taken."""


class IdempotencyKeys(Protocol):
    """Answers to requests that came with a key, by caller and key."""

    def get(self, caller: str, key: str) -> RememberedAnswer | None: ...

    def begin(self, caller: str, key: str, request: str, at: datetime) -> None:
        """Note that the request is being answered, in place of what was known of the key."""

    def answer(
        self, caller: str, key: str, began_at: datetime, status: int, body: str | None
    ) -> None:
        """Remember the answer to the request that began at `began_at`, if it is still that one."""

    def forget(self, caller: str, key: str, began_at: datetime) -> None:
        """Have the key free again, if it is still that request's."""

    def prune(self, before: datetime) -> int:
        """Forget keys from before then; return how many."""


class Counts(Protocol):
    """How much there is, for those who watch a center."""

    def submissions(self) -> dict[SubmissionState, int]:
        """Submissions by state; states without any may be left out."""

    def fusions(self) -> dict[FusionState, int]:
        """Fusions by state; states without any may be left out."""

    def oldest_queued(self) -> datetime | None:
        """When the fusion that waits longest was requested; None when none waits."""

    def priorities(self) -> dict[Priority, int]:
        """Fusions that are queued by priority; those without any may be left out."""

    def unfinished_audits(self) -> int:
        """Audits of concepts that are queued or running."""

    def waiting(self, owner: str | None) -> Waiting:
        """Packages that wait for review, of one owner or of all."""

    def requested(self, states: Collection[FusionState], requester: str | None) -> int:
        """Fusions in these states, of one requester or of all."""

    def failed(self, since: datetime, requester: str | None) -> int:
        """Fusions that failed since then, of one requester or of all."""

    def stored(self) -> Stored:
        """Bytes that packages and published files take."""

    def members(self) -> int:
        """Members that are not disabled."""

    def active_members(self, since: datetime) -> int:
        """Members that have used a token since then."""
