"""Webhooks: who is told of which events, where to, and how a delivery is proven and repeated."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from mos_protocol.errors import InvalidRequest

from mos_center.domain.events import Event, EventKind

MAX_URL_CHARS = 2000
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=2)
GIVEN_UP_AFTER = timedelta(days=1)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Webhook:
    """A subscription; the secret signs what is sent and is shown only once."""

    id: str
    url: str
    events: frozenset[EventKind]
    created_by: str
    created_at: datetime
    secret: str = ""

    def __repr__(self) -> str:
        return f"Webhook(id={self.id!r}, url={self.url!r})"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one webhook; `next_at` is None when no attempt follows."""

    event_id: str
    webhook_id: str
    event: Event
    at: datetime
    attempts: int = 0
    next_at: datetime | None = None
    delivered_at: datetime | None = None
    error: str = ""

    @property
    def state(self) -> DeliveryState:
        if self.delivered_at is not None:
            return DeliveryState.DELIVERED
        return DeliveryState.PENDING if self.next_at is not None else DeliveryState.GIVEN_UP


def next_attempt(delivery: Delivery, now: datetime) -> datetime | None:
    """When to try again after a failed attempt: pauses double; None: a day of trying is enough."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(delivery.attempts - 1, 20))
    return now + pause if now + pause <= delivery.at + GIVEN_UP_AFTER else None


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Mos-Signature`: an HMAC over timestamp, a dot, and the body."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


@dataclass(frozen=True)
class AddressRules:
    """Which addresses may be delivered to: a webhook must not reach what only the center can.

    `private`: also networks of one's own; `loopback`: also the center's own machine.
    """

    private: bool = False
    loopback: bool = False

    def check(self, text: str) -> None:
        """Raise `InvalidRequest` when nothing may be sent to this address."""
        address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
        if not self._allows(address):
            raise InvalidRequest(
                f"Webhooks are not delivered to {address}.",
                hint="Addresses of one's own networks need MOS_WEBHOOK_PRIVATE=true; "
                "link-local ones are never used.",
            )

    def _allows(self, address: Address) -> bool:
        if address in _METADATA or any(
            (address.is_link_local, address.is_multicast, address.is_unspecified)
        ):
            return False
        if address.is_loopback:
            return self.loopback
        if address.is_global:
            return True
        return self.private and not address.is_reserved


# Where clouds hand out credentials, besides the link-local addresses.
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def check_url(url: str, rules: AddressRules) -> None:
    """Raise `InvalidRequest` unless it is an http(s) URL that something may be sent to.

    A host name is looked up at each delivery, and what it then means is checked there.
    """
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname, parsed.port
        fits = parsed.scheme in ("http", "https") and bool(host) and url.isascii()
    except ValueError:
        fits, host = False, None
    if not fits or host is None or len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise InvalidRequest(
            f"{url[:80]!r} is no address for a webhook.",
            hint="Write it as https://host/path.",
        )
    if "@" in parsed.netloc:
        raise InvalidRequest(
            "A webhook's address can't hold a user name or password.",
            hint="Check the signature of what arrives instead.",
        )
    if _is_literal(host):
        rules.check(host)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
