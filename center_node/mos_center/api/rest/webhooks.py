"""Webhooks: who is told of events, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from fastapi import APIRouter, Response
from pydantic import Field

from mos_center.api.rest.context import (
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Page,
    needs_token,
    problems,
)
from mos_center.domain import webhooks
from mos_center.domain.events import EventKind

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], dependencies=[needs_token])


class WebhookBody(Body):
    """Where to send which events; see docs/webhooks.md for what arrives."""

    url: str = Field(min_length=1, max_length=webhooks.MAX_URL_CHARS)
    events: list[EventKind] = Field(min_length=1, max_length=len(EventKind))


class Webhook(Answer):
    id: str
    url: str
    events: list[EventKind]
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, webhook: webhooks.Webhook, **more: Any) -> Self:
        return cls(
            id=webhook.id,
            url=webhook.url,
            events=sorted(webhook.events),
            created_by=webhook.created_by,
            created_at=webhook.created_at,
            **more,
        )


class NewWebhook(Webhook):
    """A webhook with the secret that signs its deliveries: it is shown only here."""

    secret: str


class Delivery(Answer):
    """One event on its way to a webhook; `error` is why the last attempt failed."""

    event: str
    kind: EventKind
    resource: str
    at: datetime
    state: webhooks.DeliveryState
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None
    error: str

    @classmethod
    def of(cls, delivery: webhooks.Delivery) -> Self:
        return cls(
            event=delivery.event_id,
            kind=delivery.event.kind,
            resource=delivery.event.resource,
            at=delivery.at,
            state=delivery.state,
            attempts=delivery.attempts,
            next_at=delivery.next_at,
            delivered_at=delivery.delivered_at,
            error=delivery.error,
        )


class Ping(Answer):
    """The event that is being delivered."""

    event: str


@router.get("", responses=problems())
def list_webhooks(center: CenterHere, caller: Caller) -> Page[Webhook]:
    """Every webhook, newest first; there are few, so there is one page."""
    found = center.webhooks.all(caller=caller)
    return Page(items=[Webhook.of(item) for item in found], next_cursor=None)


@router.post("", status_code=201, responses=problems())
def add_webhook(
    body: WebhookBody, response: Response, center: CenterHere, caller: Caller
) -> NewWebhook:
    """Have events sent to a URL. The secret that signs them is in this answer only."""
    response.headers["Cache-Control"] = "no-store"
    webhook = center.webhooks.add(body.url, body.events, caller=caller)
    return NewWebhook.of(webhook, secret=webhook.secret)


@router.delete("/{webhook_id}", status_code=204, responses=problems(404))
def remove_webhook(webhook_id: str, center: CenterHere, caller: Caller) -> None:
    """Send nothing to it any more, what still waits included."""
    center.webhooks.remove(webhook_id, caller=caller)


@router.get("/{webhook_id}/deliveries", responses=problems(404))
def list_deliveries(
    webhook_id: str,
    center: CenterHere,
    caller: Caller,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Delivery]:
    """What was and will be sent to it, newest event first."""
    found = center.webhooks.deliveries(webhook_id, caller=caller, before=cursor, limit=limit)
    return Page(
        items=[Delivery.of(item) for item in found],
        next_cursor=found[-1].event_id if len(found) == limit else None,
    )


@router.post("/{webhook_id}/test", status_code=202, responses=problems(404))
def ping(webhook_id: str, center: CenterHere, caller: Caller) -> Ping:
    """Send it a ping; the deliveries show what became of it."""
    return Ping(event=center.webhooks.ping(webhook_id, caller=caller))
