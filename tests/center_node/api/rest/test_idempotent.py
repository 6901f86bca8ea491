"""Idempotency keys: one change, one answer, however often it is asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from mos_center.api.rest.idempotent import SECRET_ANSWERS, IdempotentChanges
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.idempotency import IdempotencyService
from sqlalchemy import text

BODY = {"model": "demo", "base": "small", "concepts": [{"name": "ada/potter"}]}
KEY = {"Idempotency-Key": "one"}


@dataclass
class Echo:
    """An application that counts its calls and answers what it is told to."""

    status: int = 201
    calls: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    held: asyncio.Event | None = None
    error: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        self.calls.append(body)
        if self.held is not None:
            await self.held.wait()
        if self.error is not None:
            raise self.error
        headers = [(key.lower().encode(), value.encode()) for key, value in self.headers.items()]
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        await send(start)
        answer = json.dumps({"call": len(self.calls)}).encode()
        await send({"type": "http.response.body", "body": answer})


class Edge:
    """An application behind the keys, called in one process."""

    def __init__(self, data: OpenedData, lease: timedelta, patience: float) -> None:
        self.app = Echo()
        service = IdempotencyService(data.database, lease)
        changes = IdempotentChanges(self.app, answers=service, patience=patience)

        async def known(scope: Any, receive: Any, send: Any) -> None:
            name = dict(scope["headers"]).get(b"x-caller", b"").decode()
            caller = None if not name else _Named(name)
            await changes({**scope, "state": {"caller": caller}}, receive, send)

        transport = httpx.ASGITransport(app=known, raise_app_exceptions=True)
        self.http = httpx.AsyncClient(
            transport=transport, base_url="http://center", headers={"X-Caller": "ada"}
        )

    async def post(self, key: str = "k", path: str = "/v1/things", **more: Any) -> httpx.Response:
        options: dict[str, Any] = {"json": {"a": 1}, **more}
        headers = {"Idempotency-Key": key} | options.pop("headers", {})
        return await self.http.post(path, headers=headers, **options)


@dataclass(frozen=True)
class _Named:
    name: str


@pytest.fixture
async def edge(data: OpenedData) -> AsyncIterator[Edge]:
    edge = Edge(data, timedelta(minutes=1), patience=30)
    async with edge.http:
        yield edge


async def test_the_same_request_is_made_once_and_answered_twice(edge: Edge) -> None:
    first, second = await edge.post(), await edge.post()

    assert len(edge.app.calls) == 1
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-type"] == "application/json"
    assert "idempotent-replayed" not in first.headers


@pytest.mark.parametrize(
    "other",
    [
        {"json": {"a": 2}},
        {"path": "/v1/others"},
        {"path": "/v1/things?dry=yes"},
    ],
)
async def test_a_key_is_bound_to_all_of_its_request(edge: Edge, other: dict[str, Any]) -> None:
    await edge.post()

    refused = await edge.post(**other)

    assert refused.status_code == 409
    assert refused.json()["code"] == "conflict"
    assert "used for another request" in refused.json()["detail"]
    assert len(edge.app.calls) == 1


async def test_another_method_is_another_request(edge: Edge) -> None:
    await edge.post()

    refused = await edge.http.put("/v1/things", json={"a": 1}, headers={"Idempotency-Key": "k"})

    assert refused.status_code == 409


async def test_members_do_not_share_keys(edge: Edge) -> None:
    await edge.post()
    await edge.post(headers={"X-Caller": "bob"}, json={"a": 2})

    assert len(edge.app.calls) == 2


async def test_strangers_with_other_requests_never_meet_in_a_key(edge: Edge) -> None:
    nobody = {"X-Caller": ""}
    await edge.post(headers=nobody, json={"token": "one"})
    other = await edge.post(headers=nobody, json={"token": "two"})
    again = await edge.post(headers=nobody, json={"token": "one"})

    assert (other.status_code, len(edge.app.calls)) == (201, 2)
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("status", [500, 503, 401, 429])
async def test_a_passing_failure_is_not_remembered(edge: Edge, status: int) -> None:
    edge.app.status = status
    assert (await edge.post()).status_code == status
    edge.app.status = 201

    assert (await edge.post()).status_code == 201
    assert len(edge.app.calls) == 2


@pytest.mark.parametrize("status", [403, 404, 409, 410, 422])
async def test_a_refusal_is_the_answer_again(edge: Edge, status: int) -> None:
    edge.app.status = status
    await edge.post()
    edge.app.status = 201

    again = await edge.post()

    assert (again.status_code, len(edge.app.calls)) == (status, 1)
    assert again.headers["content-type"] == "application/problem+json"


async def test_a_request_that_crashed_is_made_again(edge: Edge) -> None:
    edge.app.error = RuntimeError("killed")
    with pytest.raises(RuntimeError):
        await edge.post()
    edge.app.error = None

    assert (await edge.post()).status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "ü", "k" * 201, "a\tb"])
async def test_what_is_no_key_is_refused(edge: Edge, key: str) -> None:
    raw = [(b"Idempotency-Key", key.encode("latin-1")), (b"X-Caller", b"ada")]

    refused = await edge.http.post("/v1/things", content=b"{}", headers=raw)

    assert (refused.status_code, edge.app.calls) == (422, [])


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/things"), ("POST", "/elsewhere")])
async def test_only_changes_of_the_api_look_at_keys(edge: Edge, method: str, path: str) -> None:
    for _ in range(2):
        await edge.http.request(method, path, headers=KEY)

    assert len(edge.app.calls) == 2


async def test_twenty_at_once_are_one_change_and_twenty_answers(edge: Edge) -> None:
    edge.app.held = asyncio.Event()
    calls = [asyncio.create_task(edge.post()) for _ in range(20)]
    while not edge.app.calls:
        await asyncio.sleep(0.01)
    edge.app.held.set()

    answers = await asyncio.gather(*calls)

    assert len(edge.app.calls) == 1
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, b'{"call": 1}')}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19


async def test_whoever_does_not_want_to_wait_longer_is_told_when_to_come_back(
    data: OpenedData,
) -> None:
    edge = Edge(data, timedelta(minutes=1), patience=0)
    edge.app.held = asyncio.Event()
    first = asyncio.create_task(edge.post())
    while not edge.app.calls:
        await asyncio.sleep(0.01)

    second = await edge.post()
    edge.app.held.set()

    assert (second.status_code, second.headers["retry-after"]) == (503, "1")
    assert (await first).status_code == 201


async def test_a_request_whose_process_died_is_taken_over_after_its_lease(
    data: OpenedData,
) -> None:
    edge = Edge(data, timedelta(0), patience=0)
    edge.app.held = asyncio.Event()
    dead = asyncio.create_task(edge.post())
    while not edge.app.calls:
        await asyncio.sleep(0.01)
    alive = asyncio.create_task(edge.post())
    while len(edge.app.calls) < 2:
        await asyncio.sleep(0.01)
    edge.app.held.set()

    assert (await dead).status_code == (await alive).status_code == 201
    # What is remembered is the answer of the one that took over.
    assert (await edge.post()).content == (await alive).content


@pytest.mark.parametrize(
    ("path", "headers"),
    [*((path, {}) for path in sorted(SECRET_ANSWERS)), ("/v1/x", {"Cache-Control": "no-store"})],
)
async def test_an_answer_with_a_secret_is_not_kept(
    edge: Edge, data: OpenedData, path: str, headers: dict[str, str]
) -> None:
    edge.app.headers = headers
    first = await edge.post(path=path)

    again = await edge.post(path=path)

    assert (first.status_code, again.status_code) == (201, 409)
    assert "shown once" in again.json()["detail"]
    assert len(edge.app.calls) == 1
    with data.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT status, body FROM idempotency_keys")).all()
    assert [tuple(row) for row in rows] == [(201, None)]


async def test_old_keys_are_forgotten(edge: Edge, data: OpenedData) -> None:
    await edge.post()
    with data.database.write() as transaction:
        known = transaction.idempotency.get("ada", "k")
        assert transaction.idempotency.prune(known.created_at) == 0
        assert transaction.idempotency.prune(known.created_at + timedelta(seconds=1)) == 1

    await edge.post()

    assert len(edge.app.calls) == 2


async def test_a_fusion_that_is_requested_twice_with_a_key_is_answered_the_same(
    running: Any, submit: Callable[..., Submission]
) -> None:
    submit()

    first = await running.http.post("/v1/fusions", json=BODY, headers=KEY)
    again = await running.http.post("/v1/fusions", json=BODY, headers=KEY)
    other = await running.http.post("/v1/fusions", json={**BODY, "model": "x"}, headers=KEY)

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert first.json() == again.json()
    assert other.json()["code"] == "conflict"


async def test_a_key_keeps_its_answer_when_the_fusion_went_on(
    running: Any, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    first = await running.http.post("/v1/fusions", json=BODY, headers=KEY)
    center.fusions.cancel(first.json()["id"], LOCAL)

    again = await running.http.post("/v1/fusions", json=BODY, headers=KEY)
    without = await running.http.post("/v1/fusions", json=BODY)

    assert again.json() == first.json()
    assert without.json()["id"] != first.json()["id"]


async def test_a_token_is_made_once_and_its_secret_never_stored(
    running: Any, center: Center, data: OpenedData
) -> None:
    center.members.add("ada", Role.ADMIN, caller=LOCAL)
    secret, _ = center.tokens.create("ada", "first", caller=LOCAL)
    headers = {**KEY, "Authorization": f"Bearer {secret}"}

    made = await running.http.post("/v1/tokens", json={"name": "laptop"}, headers=headers)
    again = await running.http.post("/v1/tokens", json={"name": "laptop"}, headers=headers)

    assert (made.status_code, again.status_code) == (201, 409)
    with data.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM idempotency_keys")).all()
    assert made.json()["token"] not in str(rows)
