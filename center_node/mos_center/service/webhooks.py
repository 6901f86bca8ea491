"""Subscribing to events, and what is due to be delivered."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mos_protocol.errors import InvalidRequest, NotFound

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.errors import DeliveryFailed
from mos_center.domain.events import AuditEvent, Event, EventKind, Snapshot
from mos_center.domain.ids import new_id
from mos_center.domain.ports import Database, Transaction
from mos_center.domain.webhooks import (
    AddressRules,
    Delivery,
    Webhook,
    check_url,
    next_attempt,
    signature,
)

log = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"
LEASE = timedelta(minutes=1)
MAX_WEBHOOKS = 100
MAX_ERROR_CHARS = 300


class WebhookService:
    """The use cases of admins."""

    def __init__(self, database: Database, rules: AddressRules) -> None:
        self._database = database
        self._rules = rules

    def add(self, url: str, events: Iterable[EventKind], *, caller: Caller) -> Webhook:
        """Subscribe a URL; the webhook's secret is in no later answer."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        check_url(url, self._rules)
        kinds = frozenset(events)
        if not kinds:
            raise InvalidRequest("No event is named.", hint=f"Known: {', '.join(EventKind)}.")
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        webhook = Webhook(new_id(), url, kinds, caller.name, datetime.now(UTC), secret)
        with self._database.write() as transaction:
            if len(transaction.webhooks.all()) >= MAX_WEBHOOKS:
                raise InvalidRequest(
                    f"There are {MAX_WEBHOOKS} webhooks already.", hint="Remove one first."
                )
            transaction.webhooks.add(webhook)
            after = {"url": url, "events": sorted(kinds)}
            _record(transaction, caller, "webhook.added", webhook, after=after)
        return webhook

    def all(self, *, caller: Caller) -> tuple[Webhook, ...]:
        """Every webhook, newest first."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.webhooks.all()

    def remove(self, webhook_id: str, *, caller: Caller) -> None:
        """Deliver nothing to it any more, what waits included; raises `NotFound`."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.write() as transaction:
            webhook = _find(transaction, webhook_id)
            transaction.webhooks.remove(webhook_id, datetime.now(UTC))
            before = {"url": webhook.url, "events": sorted(webhook.events)}
            _record(transaction, caller, "webhook.removed", webhook, before=before)

    def deliveries(
        self, webhook_id: str, *, caller: Caller, before: str | None = None, limit: int
    ) -> tuple[Delivery, ...]:
        """What was and is to be sent to it, newest event first; raises `NotFound`."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            _find(transaction, webhook_id)
            return transaction.outbox.deliveries(webhook_id, before=before, limit=limit)

    def ping(self, webhook_id: str, *, caller: Caller) -> str:
        """Have a ping delivered to it and return the event's id; raises `NotFound`."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.write() as transaction:
            webhook = _find(transaction, webhook_id)
            event = Event(EventKind.PING, f"webhook/{webhook_id}", {"by": caller.name})
            event_id = transaction.outbox.send(event, [webhook_id])
            _record(transaction, caller, "webhook.pinged", webhook, after={"event": event_id})
            return event_id


@dataclass(frozen=True)
class Parcel:
    """A delivery's attempt: what is to be sent where."""

    delivery: Delivery
    url: str
    headers: dict[str, str]
    body: bytes


class DeliveryService:
    """What the processes that deliver share: each attempt is made by one of them.

    An attempt is leased for a minute. A process that dies in it leaves it to the others, so that
    an event may arrive twice, and does arrive once somebody takes it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, limit: int) -> tuple[Parcel, ...]:
        """Begin an attempt at up to `limit` deliveries that are due."""
        now = datetime.now(UTC)
        with self._database.read() as transaction:
            # Looked at first: most of the time nothing is due, and writers wait for each other.
            if not transaction.outbox.due(now, 1):
                return ()
        with self._database.write() as transaction:
            due = transaction.outbox.due(now, limit)
            parcels = [_parcel(transaction, delivery, now) for delivery in due]
            for delivery in due:
                transaction.outbox.begin_attempt(delivery, now + LEASE)
        return tuple(parcel for parcel in parcels if parcel is not None)

    def delivered(self, parcel: Parcel) -> None:
        """Note that it was taken."""
        self._end(replace(parcel.delivery, next_at=None, delivered_at=datetime.now(UTC), error=""))
        log.info("webhook.delivered event=%s", parcel.delivery.event_id)

    def failed(self, parcel: Parcel, error: DeliveryFailed) -> None:
        """Note why it was not taken, and when to try again, if ever."""
        again = next_attempt(parcel.delivery, datetime.now(UTC))
        told = error.message[:MAX_ERROR_CHARS]
        self._end(replace(parcel.delivery, next_at=again, error=told))
        event, webhook = parcel.delivery.event_id, parcel.delivery.webhook_id
        level = logging.INFO if again else logging.WARNING
        what = "webhook.failed" if again else "webhook.given_up"
        log.log(level, "%s event=%s webhook=%s reason=%s", what, event, webhook, told)

    def _end(self, delivery: Delivery) -> None:
        with self._database.write() as transaction:
            transaction.outbox.end_attempt(delivery)


def _parcel(transaction: Transaction, delivery: Delivery, now: datetime) -> Parcel | None:
    webhook = transaction.webhooks.get(delivery.webhook_id)
    if webhook is None:
        return None
    event = delivery.event
    content = {
        "id": delivery.event_id,
        "kind": event.kind.value,
        "at": delivery.at.isoformat(timespec="microseconds"),
        "resource": event.resource,
        "data": dict(event.data),
    }
    body = json.dumps(content, separators=(",", ":")).encode()
    timestamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "mos-center",
        "X-Mos-Event": event.kind.value,
        "X-Mos-Delivery": f"{delivery.event_id}.{delivery.webhook_id}",
        "X-Mos-Timestamp": timestamp,
        "X-Mos-Signature": signature(webhook.secret, timestamp, body),
    }
    attempted = replace(delivery, attempts=delivery.attempts + 1)
    return Parcel(attempted, webhook.url, headers, body)


def _find(transaction: Transaction, webhook_id: str) -> Webhook:
    webhook = transaction.webhooks.get(webhook_id)
    if webhook is None:
        raise NotFound(f"There is no webhook {webhook_id!r}.", hint="List the webhooks.")
    return webhook


def _record(
    transaction: Transaction,
    caller: Caller,
    action: str,
    webhook: Webhook,
    before: Snapshot | None = None,
    after: Snapshot | None = None,
) -> None:
    event = AuditEvent(caller.name, action, f"webhook/{webhook.id}", before, after)
    transaction.audit.record(event)
