"""Rate limits: per member, per address that fails, at both edges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from mos_center.api.rate_limits import FAILURES_PER_MINUTE, RateLimits
from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.app import create_app
from mos_center.api.rpc.server import start_rpc
from mos_center.domain.access import LOCAL, Caller, Role, Scope
from mos_center.domain.models import BaseRecord
from mos_center.service.center import Center
from mos_protocol.errors import RateLimited
from mos_protocol.manifest import MANIFEST_FILE, read_manifest
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1.submissions_pb2_grpc import SubmissionsStub

LIMIT = 8
ELSEWHERE = "203.0.113.7"
ADA = Caller("ada", Role.MEMBER, frozenset(Scope), "t1")
BOB = Caller("bob", Role.MEMBER, frozenset(Scope), "t2")


@dataclass(frozen=True)
class Limited:
    """The application with a low limit, called from elsewhere, and two members' headers."""

    http: httpx.AsyncClient
    ada: dict[str, str]
    bob: dict[str, str]


@pytest.fixture
async def limited(center: Center) -> AsyncIterator[Limited]:
    headers = {}
    for name in ("ada", "bob"):
        center.members.add(name, Role.ADMIN, caller=LOCAL)
        token, _ = center.tokens.create(name, "default", caller=LOCAL)
        headers[name] = {"Authorization": f"Bearer {token}"}
    info = CenterInfo(version="", grpc="", worker=False)
    app = create_app(center, info, asyncio.Event(), limits=RateLimits(LIMIT))
    transport = httpx.ASGITransport(app=app, client=(ELSEWHERE, 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://center") as http:
        yield Limited(http, **headers)


def exhaust(limits: RateLimits, caller: Caller) -> RateLimited:
    """Call until it is too much, and return how that is told."""
    for _ in range(LIMIT):
        limits.count_call(caller)
    with pytest.raises(RateLimited) as refused:
        limits.count_call(caller)
    return refused.value


def test_a_member_has_so_many_calls_whatever_others_do() -> None:
    limits = RateLimits(LIMIT)

    error = exhaust(limits, ADA)

    assert 1 <= error.retry_after <= 60
    assert limits.count_call(BOB).remaining == LIMIT - 1


def test_tokens_of_one_member_share_its_calls() -> None:
    limits = RateLimits(LIMIT)
    exhaust(limits, ADA)

    with pytest.raises(RateLimited):
        limits.count_call(Caller("ada", Role.MEMBER, frozenset(), "another"))


def test_zero_is_no_limit() -> None:
    limits = RateLimits(0)

    assert {limits.count_call(ADA) for _ in range(5000)} == {None}
    for _ in range(10 * FAILURES_PER_MINUTE):
        limits.count_failure(ELSEWHERE)
    limits.check_address(ELSEWHERE, None)


def test_programs_on_an_open_centers_own_machine_have_no_limit() -> None:
    limits = RateLimits(LIMIT)

    assert {limits.count_call(LOCAL) for _ in range(3 * LIMIT)} == {None}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "", "unix"])
def test_addresses_of_this_machine_may_fail(address: str) -> None:
    limits = RateLimits(LIMIT, failures_per_minute=2)
    for _ in range(5):
        limits.count_failure(address)

    limits.check_address(address, "mos_wrong")


def test_an_address_that_failed_too_often_lets_only_known_tokens_through() -> None:
    limits = RateLimits(LIMIT, failures_per_minute=2)
    limits.know("mos_right")
    for _ in range(2):
        limits.count_failure(ELSEWHERE)

    for token in ("mos_guess", None):
        with pytest.raises(RateLimited, match="no valid token"):
            limits.check_address(ELSEWHERE, token)
    limits.check_address(ELSEWHERE, "mos_right")
    limits.check_address("203.0.113.8", "mos_guess")


async def test_answers_tell_what_is_left_and_then_when_to_come_back(limited: Limited) -> None:
    answers = [await limited.http.get("/v1/bases", headers=limited.ada) for _ in range(LIMIT + 1)]

    left = [int(answer.headers["ratelimit-remaining"]) for answer in answers]
    refused = answers[-1]
    assert left == [*range(LIMIT - 1, -1, -1), 0]
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {str(LIMIT)}
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await limited.http.get("/v1/bases", headers=limited.bob)).status_code == 200


async def test_health_answers_however_often_it_is_asked(limited: Limited) -> None:
    for _ in range(2 * FAILURES_PER_MINUTE):
        await limited.http.get("/v1/bases")

    for path in ("/healthz", "/readyz"):
        assert (await limited.http.get(path)).status_code == 200


async def test_guessing_tokens_ends_after_some_and_known_members_go_on(limited: Limited) -> None:
    assert (await limited.http.get("/v1/bases", headers=limited.ada)).status_code == 200
    guesses = [
        await limited.http.get("/v1/bases", headers={"Authorization": f"Bearer mos_{number}"})
        for number in range(FAILURES_PER_MINUTE + 1)
    ]

    assert [guess.status_code for guess in guesses] == [401] * FAILURES_PER_MINUTE + [429]
    assert (await limited.http.get("/v1/bases", headers=limited.ada)).status_code == 200


async def test_both_edges_count_together_and_an_upload_is_one_call(
    center: Center, base: BaseRecord, package: Path
) -> None:
    center.members.add("ada", Role.MEMBER, caller=LOCAL)
    token, _ = center.tokens.create("ada", "default", caller=LOCAL)
    limits, stopping = RateLimits(4), asyncio.Event()
    rpc = await start_rpc(center, stopping, "127.0.0.1:0", None, limits)
    entry = read_manifest(package).file("concept.safetensors")
    data = (package / entry.path).read_bytes()
    metadata = (("authorization", f"Bearer {token}"),)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{rpc.port}") as channel:
            stub = SubmissionsStub(channel)
            manifest = wire.OfferRequest(manifest=(package / MANIFEST_FILE).read_bytes())
            offer = await stub.Offer(manifest, metadata=metadata)
            start = wire.BlobStart(submission_id=offer.status.submission_id, sha256=entry.sha256)
            parts = [wire.PutBlobRequest(start=start)]
            parts += [wire.PutBlobRequest(data=data[i : i + 16]) for i in range(0, len(data), 16)]
            await stub.PutBlob(iter(parts), metadata=metadata)
            await stub.Offer(manifest, metadata=metadata)
            await stub.Offer(manifest, metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Offer(manifest, metadata=metadata)
    finally:
        stopping.set()
        await rpc.stop(0)

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    pushback = dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"]
    assert 1000 <= int(pushback) <= 60_000
    with pytest.raises(RateLimited):
        limits.count_call(ADA)
