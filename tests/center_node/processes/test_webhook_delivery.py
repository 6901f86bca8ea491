"""Delivering events: signed, repeated, by one process at a time, and only where it is allowed."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from center_steps import publish
from mos_center.domain.access import LOCAL
from mos_center.domain.errors import DeliveryFailed
from mos_center.domain.events import Event, EventKind
from mos_center.domain.models import Submission
from mos_center.domain.webhooks import AddressRules, DeliveryState
from mos_center.opening import OpenedData
from mos_center.processes.webhook_delivery import HttpSender, deliver_due, delivering
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.service.webhooks import DeliveryService, WebhookService
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import upgrade
from mos_protocol.errors import JobFailed

ALL = list(EventKind)
URL = "https://hub.example/hook"
HERE = AddressRules(loopback=True)
DOCS = Path(__file__).resolve().parents[3] / "docs/webhooks.md"


@dataclass
class FakeSender:
    """Implements `domain.ports.WebhookSender`; fails as often as it is told."""

    failures: int = 0
    sent: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.sent.append((url, headers, body))
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise DeliveryFailed("Answered 500.")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, data: OpenedData) -> Iterator[SqlDatabase]:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        yield data.database
        return
    postgres = request.getfixturevalue("postgres")
    database = SqlDatabase(postgres.url(postgres.new_database()))
    upgrade(database.engine)
    yield database
    database.close()


def tell_and_die(data: OpenedData) -> None:
    """Write an event in a transaction that does not end well."""
    with data.database.write() as transaction:
        transaction.outbox.add(Event(EventKind.PING, "x"))
        raise RuntimeError("killed")


def make_due(data: OpenedData) -> None:
    """Have every delivery that waits wait no longer."""
    with data.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE deliveries SET next_at = '2001-01-01 00:00:00' WHERE next_at IS NOT NULL"
        )


async def test_what_subscribers_asked_for_is_delivered_and_nothing_else(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    center.webhooks.add(URL, [EventKind.MODEL_PUBLISHED], caller=LOCAL)
    center.webhooks.add(URL + "2", [EventKind.CONCEPT_APPROVED], caller=LOCAL)
    submission = submit()
    publish(center, data, "demo", 1, {"README.md": b"# demo"})
    sender = FakeSender()

    assert await deliver_due(center.deliveries, sender) == 2
    assert await deliver_due(center.deliveries, sender) == 0

    told = {url: json.loads(body) for url, _, body in sender.sent}
    assert told[URL]["kind"] == "model.published"
    assert (told[URL]["data"]["model"], told[URL]["data"]["version"]) == ("demo", 1)
    assert told[URL + "2"]["resource"] == f"submission/{submission.id}"
    assert set(told[URL]) == {"id", "kind", "at", "resource", "data"}


async def test_a_failed_fusion_is_told_with_its_error(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    center.webhooks.add(URL, [EventKind.FUSION_FAILED], caller=LOCAL)
    submit()
    request = FusionRequest("demo", "small", [WantedConcept("ada/potter")])
    fusion, _ = center.fusions.request(request, caller=LOCAL)
    data.ledger().failed(fusion.id, JobFailed("no memory"))
    sender = FakeSender()

    await deliver_due(center.deliveries, sender)

    ((_, headers, body),) = sender.sent
    assert headers["X-Mos-Event"] == "fusion.failed"
    assert json.loads(body)["data"]["error"]["message"] == "no memory"


async def test_a_failure_is_tried_again_and_then_shown_as_delivered(
    center: Center, data: OpenedData
) -> None:
    webhook = center.webhooks.add(URL, ALL, caller=LOCAL)
    event = center.webhooks.ping(webhook.id, caller=LOCAL)
    sender = FakeSender(failures=1)

    await deliver_due(center.deliveries, sender)
    (failed,) = center.webhooks.deliveries(webhook.id, caller=LOCAL, limit=10)
    assert await deliver_due(center.deliveries, sender) == 0
    make_due(data)
    await deliver_due(center.deliveries, sender)
    (delivered,) = center.webhooks.deliveries(webhook.id, caller=LOCAL, limit=10)

    assert (failed.event_id, failed.state, failed.error, failed.attempts) == (
        event,
        DeliveryState.PENDING,
        "Answered 500.",
        1,
    )
    assert (delivered.state, delivered.error, delivered.attempts) == (
        DeliveryState.DELIVERED,
        "",
        2,
    )
    first, second = (headers["X-Mos-Delivery"] for _, headers, _ in sender.sent)
    assert first == second


async def test_after_a_day_of_failures_a_delivery_is_given_up_visibly(
    center: Center, data: OpenedData, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = center.webhooks.add(URL, ALL, caller=LOCAL)
    center.webhooks.ping(webhook.id, caller=LOCAL)
    with data.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET at = '2001-01-01 00:00:00'")

    await deliver_due(center.deliveries, FakeSender(failures=1))

    (given_up,) = center.webhooks.deliveries(webhook.id, caller=LOCAL, limit=10)
    assert (given_up.state, given_up.error) == (DeliveryState.GIVEN_UP, "Answered 500.")
    assert "webhook.given_up" in caplog.text
    make_due(data)
    assert await deliver_due(center.deliveries, FakeSender()) == 0


def test_many_processes_never_make_the_same_attempt(database: SqlDatabase) -> None:
    webhooks = WebhookService(database, AddressRules())
    webhook = webhooks.add(URL, ALL, caller=LOCAL)
    for _ in range(30):
        webhooks.ping(webhook.id, caller=LOCAL)
    taken: list[str] = []

    def take() -> None:
        service = DeliveryService(database)
        while parcels := service.take(3):
            taken.extend(parcel.delivery.event_id for parcel in parcels)
            for parcel in parcels:
                service.delivered(parcel)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken)) == 30
    states = {one.state for one in webhooks.deliveries(webhook.id, caller=LOCAL, limit=100)}
    assert states == {DeliveryState.DELIVERED}


def test_an_attempt_whose_process_died_is_made_again_and_the_late_one_changes_nothing(
    center: Center, data: OpenedData
) -> None:
    webhook = center.webhooks.add(URL, ALL, caller=LOCAL)
    center.webhooks.ping(webhook.id, caller=LOCAL)
    (dead,) = center.deliveries.take(10)
    assert center.deliveries.take(10) == ()
    make_due(data)
    (alive,) = center.deliveries.take(10)
    center.deliveries.delivered(alive)

    center.deliveries.failed(dead, DeliveryFailed("too late"))

    (delivery,) = center.webhooks.deliveries(webhook.id, caller=LOCAL, limit=10)
    assert (delivery.state, delivery.error) == (DeliveryState.DELIVERED, "")
    assert (dead.delivery.attempts, alive.delivery.attempts) == (1, 2)


def test_a_change_that_is_undone_tells_nobody(center: Center, data: OpenedData) -> None:
    center.webhooks.add(URL, ALL, caller=LOCAL)
    with pytest.raises(RuntimeError):
        tell_and_die(data)

    assert center.deliveries.take(10) == ()


async def test_a_removed_webhook_gets_nothing_any_more(center: Center, data: OpenedData) -> None:
    webhook = center.webhooks.add(URL, ALL, caller=LOCAL)
    center.webhooks.ping(webhook.id, caller=LOCAL)
    center.webhooks.remove(webhook.id, caller=LOCAL)
    with data.database.write() as transaction:
        transaction.outbox.add(Event(EventKind.CONCEPT_APPROVED, "x"))
    sender = FakeSender()

    make_due(data)
    assert await deliver_due(center.deliveries, sender) == 0
    assert center.webhooks.all(caller=LOCAL) == ()
    with data.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT secret FROM webhooks").all() == [("",)]


def test_events_that_nobody_waits_for_are_forgotten(center: Center, data: OpenedData) -> None:
    webhook = center.webhooks.add(URL, ALL, caller=LOCAL)
    for _ in range(2):
        center.webhooks.ping(webhook.id, caller=LOCAL)
    (first, _) = center.deliveries.take(10)
    center.deliveries.delivered(first)

    with data.database.write() as transaction:
        soon = first.delivery.at + timedelta(days=1)
        assert transaction.outbox.prune(first.delivery.at) == 0
        assert transaction.outbox.prune(soon) == 1

    (left,) = center.webhooks.deliveries(webhook.id, caller=LOCAL, limit=10)
    assert left.event_id != first.delivery.event_id


async def test_the_loop_delivers_while_it_runs(center: Center) -> None:
    webhook = center.webhooks.add(URL, ALL, caller=LOCAL)
    sender = FakeSender(failures=0)

    with delivering(center.deliveries, sender, poll=0.01):
        center.webhooks.ping(webhook.id, caller=LOCAL)
        while not sender.sent:
            await asyncio.sleep(0.01)
    center.webhooks.ping(webhook.id, caller=LOCAL)

    assert len(sender.sent) == 1


async def test_the_loop_ends_at_once_even_when_a_receiver_is_slow(center: Center) -> None:
    begun = threading.Event()

    class Slow:
        async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
            begun.set()
            await asyncio.sleep(3600)

    webhook = center.webhooks.add(URL, ALL, caller=LOCAL)
    center.webhooks.ping(webhook.id, caller=LOCAL)

    with delivering(center.deliveries, Slow(), poll=0.01):
        await asyncio.to_thread(begun.wait)

    (delivery,) = center.webhooks.deliveries(webhook.id, caller=LOCAL, limit=1)
    assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 1)


@dataclass
class Receiver:
    """A web server that answers every request with `answer` and keeps what came."""

    answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    url: str = ""
    requests: list[bytes] = field(default_factory=list)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
        self.requests.append(head + await reader.readexactly(length))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(
    answer: bytes = Receiver.answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0, ssl=tls)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver


async def test_the_snippet_in_the_docs_accepts_what_the_center_sends(center: Center) -> None:
    names: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1], names)
    async with receiving() as receiver:
        webhook = center.webhooks.add(receiver.url, ALL, caller=LOCAL)
        center.webhooks.ping(webhook.id, caller=LOCAL)
        await deliver_due(center.deliveries, HttpSender(HERE))

    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().splitlines()[1:]]
    headers = {key.title(): value for key, value in lines}
    assert names["is_genuine"](webhook.secret, headers, body)
    assert not names["is_genuine"]("whsec_other", headers, body)
    assert not names["is_genuine"](webhook.secret, headers, body + b" ")
    assert not names["is_genuine"](webhook.secret, headers, body, tolerance=-1)
    assert headers["Host"] == receiver.url.split("/")[2]
    assert json.loads(body)["kind"] == headers["X-Mos-Event"] == "ping"


def test_the_docs_list_every_kind_of_event() -> None:
    listed = re.findall(r"^\| `([a-z.]+)` \|", DOCS.read_text(), re.MULTILINE)

    assert set(listed) == {kind.value for kind in EventKind}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "Answered 500"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "Answered 302",
        ),
        (b"what?\r\n\r\n", "Not reached"),
        (b"", "Not reached"),
    ],
)
async def test_only_a_clear_yes_is_a_delivery(answer: bytes, reason: str) -> None:
    async with receiving(answer) as receiver:
        with pytest.raises(DeliveryFailed, match=reason):
            await HttpSender(HERE).send(receiver.url, {}, b"{}")

    assert len(receiver.requests) == 1


async def test_an_endless_answer_ends_the_attempt() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-A: 1\r\n")
            await asyncio.sleep(0.01)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(DeliveryFailed, match="No answer within"):
            await HttpSender(HERE, timeout=0.2).send(f"http://127.0.0.1:{port}/", {}, b"{}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433"])
async def test_no_spelling_of_loopback_reaches_it_from_a_center_for_others(host: str) -> None:
    async with receiving() as receiver:
        port = receiver.url.split(":")[2]
        with pytest.raises(DeliveryFailed):
            await HttpSender(AddressRules(private=True)).send(f"http://{host}:{port}", {}, b"{}")

    assert receiver.requests == []


async def test_a_name_is_looked_up_and_its_address_used() -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        rules = AddressRules(loopback=True)
        await HttpSender(rules).send(url, {"X-Mos-Event": "ping"}, b"{}")

    assert b"localhost:" in receiver.requests[0]


async def test_an_unknown_host_is_a_failure_and_no_crash() -> None:
    with pytest.raises(DeliveryFailed, match="The host is not known"):
        await HttpSender(HERE).send("https://nowhere.invalid/", {}, b"{}")


async def test_a_certificate_must_be_the_named_hosts() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("hub.example").configure_cert(context)
    async with receiving(tls=context) as receiver:
        url = receiver.url.replace("http:", "https:")
        with pytest.raises(DeliveryFailed, match="certificate"):
            await HttpSender(HERE).send(url, {}, b"{}")

    assert receiver.requests == []
