"""Delivering events to webhooks: a loop in a thread of its own, and what it sends with."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
from mos_protocol.errors import InvalidRequest, MosError

from mos_center.domain.errors import DeliveryFailed
from mos_center.domain.ports import WebhookSender
from mos_center.domain.webhooks import AddressRules
from mos_center.service.webhooks import DeliveryService, Parcel
from mos_center.telemetry.metrics import DELIVERIES

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
AT_ONCE = 16
# All in all; must stay below the lease of an attempt.
TIMEOUT_SECONDS = 15.0


class HttpSender:
    """Implements `domain.ports.WebhookSender`.

    The address that was checked is the one that is connected to, whatever the name means a moment
    later. No redirect is followed, no proxy is used, no cookie kept and no answer read.
    """

    def __init__(self, rules: AddressRules, timeout: float = TIMEOUT_SECONDS) -> None:
        self._rules = rules
        self._timeout = timeout

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._post(url, headers, body)
        except (TimeoutError, httpx.TimeoutException):
            raise DeliveryFailed(f"No answer within {self._timeout:g} seconds.") from None
        except InvalidRequest as error:
            raise DeliveryFailed(error.message, hint=error.hint) from None
        except socket.gaierror as error:
            raise DeliveryFailed(f"The host is not known ({error.strerror}).") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise DeliveryFailed(f"Not reached: {type(error).__name__}: {error}") from None
        if not 200 <= status < 300:
            raise DeliveryFailed(f"Answered {status}.")

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        parsed = urlsplit(url)
        host = parsed.hostname or ""
        address = await self._resolved(host, parsed.port or _PORTS[parsed.scheme])
        pinned = httpx.URL(url).copy_with(host=address)
        async with (
            httpx.AsyncClient(trust_env=False, timeout=self._timeout) as client,
            client.stream(
                "POST",
                pinned,
                content=body,
                headers={**headers, "Host": parsed.netloc},
                # The certificate must be the name's, not the address's.
                extensions={} if _is_address(host) else {"sni_hostname": host},
            ) as response,
        ):
            return response.status_code

    async def _resolved(self, host: str, port: int) -> str:
        """The host's first address; every one that it has must be allowed."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(item[4][0]) for item in found]
        for address in addresses:
            self._rules.check(address)
        return addresses[0]


_PORTS = {"http": 80, "https": 443}


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


async def deliver_due(service: DeliveryService, sender: WebhookSender) -> int:
    """Make one attempt at each of some deliveries that are due; return how many."""
    parcels = await asyncio.to_thread(service.take, AT_ONCE)
    await asyncio.gather(*(_deliver(service, sender, parcel) for parcel in parcels))
    return len(parcels)


async def _deliver(service: DeliveryService, sender: WebhookSender, parcel: Parcel) -> None:
    try:
        await sender.send(parcel.url, parcel.headers, parcel.body)
    except DeliveryFailed as error:
        DELIVERIES.labels("failed").inc()
        await asyncio.to_thread(service.failed, parcel, error)
    else:
        DELIVERIES.labels("delivered").inc()
        await asyncio.to_thread(service.delivered, parcel)


@contextmanager
def delivering(
    service: DeliveryService, sender: WebhookSender, poll: float = POLL_SECONDS
) -> Iterator[None]:
    """Deliver what is due while the context is entered, in a thread; many processes may."""
    stopping = threading.Event()
    loop = threading.Thread(
        target=lambda: asyncio.run(_deliver_until(stopping, service, sender, poll)),
        name="webhooks",
        daemon=True,
    )
    loop.start()
    try:
        yield
    finally:
        stopping.set()
        loop.join()


async def _deliver_until(
    stopping: threading.Event, service: DeliveryService, sender: WebhookSender, poll: float
) -> None:
    stopped = asyncio.create_task(asyncio.to_thread(stopping.wait))
    while not stopped.done():
        round_ = asyncio.create_task(_round(service, sender))
        await asyncio.wait({round_, stopped}, return_when=asyncio.FIRST_COMPLETED)
        # What was under way is tried again, by any process, when its lease ends.
        if not round_.done():
            round_.cancel()
        elif not round_.result():
            await asyncio.wait({stopped}, timeout=poll)


async def _round(service: DeliveryService, sender: WebhookSender) -> int:
    try:
        return await deliver_due(service, sender)
    except MosError as error:
        log.warning("webhooks.waiting reason=%s", error.message)
    except Exception:
        # The outermost loop: whatever one round stumbled over, the next one tries again.
        log.exception("webhooks.failed")
    return 0
