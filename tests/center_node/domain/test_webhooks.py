from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from mos_center.domain.events import Event, EventKind
from mos_center.domain.webhooks import (
    GIVEN_UP_AFTER,
    LONGEST_PAUSE,
    AddressRules,
    Delivery,
    DeliveryState,
    Webhook,
    check_url,
    next_attempt,
    signature,
)
from mos_protocol.errors import InvalidRequest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07::1")
PRIVATE = ("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1")
LOOPBACK = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
NEVER = (
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "2002:a9fe:a9fe::1",
    "64:ff9b::a9fe:a9fe",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
)


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (AddressRules(), PUBLIC),
        (AddressRules(private=True), PUBLIC + PRIVATE),
        (AddressRules(loopback=True), PUBLIC + LOOPBACK),
        (AddressRules(private=True, loopback=True), PUBLIC + PRIVATE + LOOPBACK),
    ],
)
@pytest.mark.parametrize("address", PUBLIC + PRIVATE + LOOPBACK + NEVER)
def test_addresses_that_only_the_center_reaches_are_opened_by_name_only(
    rules: AddressRules, allowed: tuple[str, ...], address: str
) -> None:
    if address in allowed:
        rules.check(address)
        return
    with pytest.raises(InvalidRequest, match="not delivered to"):
        rules.check(address)


@pytest.mark.parametrize("url", ["https://hub.example/x?y=z", "http://hub.example:8080"])
def test_web_addresses_are_taken_and_names_looked_up_later(url: str) -> None:
    check_url(url, AddressRules())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hub.example",
        "ftp://hub.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://hub.example:port/",
        "https://hub.example:99999/",
        "https://user:secret@hub.example/",
        "https://hub.example/a b",
        "https://hub.example/\r\nX-Evil: 1",
        "https://hüb.example/",
        "https://[::1",
        "http://127.0.0.1/",
        "http://[::1]:9000/",
        "http://169.254.169.254/latest/meta-data",
        "https://hub.example/" + "x" * 2000,
    ],
)
def test_what_is_no_public_web_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_url(url, AddressRules())


def delivery(attempts: int, age: timedelta = timedelta(0)) -> Delivery:
    event = Event(EventKind.PING, "webhook/w")
    return Delivery("e", "w", event, NOW - age, attempts, next_at=NOW)


def test_pauses_double_up_to_two_hours() -> None:
    pauses = [next_attempt(delivery(attempts), NOW) - NOW for attempts in range(1, 13)]

    assert pauses[:4] == [timedelta(seconds=10 * 2**n) for n in range(4)]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_day_of_failures_is_enough() -> None:
    assert next_attempt(delivery(12, GIVEN_UP_AFTER), NOW) is None
    assert next_attempt(delivery(1, GIVEN_UP_AFTER * 2), NOW) is None


def test_all_attempts_of_a_day_are_about_twenty() -> None:
    now, attempts = NOW, 1
    while again := next_attempt(Delivery("e", "w", delivery(1).event, NOW, attempts), now):
        now, attempts = again, attempts + 1

    assert 15 < attempts < 25
    assert timedelta(hours=21) < now - NOW <= GIVEN_UP_AFTER


def test_a_delivery_is_delivered_waits_or_is_given_up() -> None:
    waiting = delivery(1)
    given_up = Delivery("e", "w", waiting.event, NOW, 3, error="Answered 500.")
    done = Delivery("e", "w", waiting.event, NOW, 1, delivered_at=NOW)

    assert [one.state for one in (waiting, given_up, done)] == [
        DeliveryState.PENDING,
        DeliveryState.GIVEN_UP,
        DeliveryState.DELIVERED,
    ]


def test_the_signature_covers_secret_moment_and_body() -> None:
    signed = signature("s", "1", b"{}")

    assert signed == ("sha256=b253639bcd705ed1cda3073f66104f16988bd40272584dea7d0d345ae93e61cc")
    others = {signature("t", "1", b"{}"), signature("s", "2", b"{}"), signature("s", "1", b"[]")}
    assert signed not in others
    assert len(others) == 3


def test_a_webhook_does_not_show_its_secret() -> None:
    webhook = Webhook("w", "https://x", frozenset(), "ada", NOW, "whsec_1")

    assert "whsec" not in repr(webhook)
