"""Every RPC and every route: who gets in, and what each caller gets of another member's things."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2
from mos_center.api.rate_limits import RateLimits
from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.gate import MAX_BODY_BYTES
from mos_center.api.rights import ROUTE_RIGHTS, RPC_RIGHTS
from mos_center.api.rpc.edge import Edge
from mos_center.api.rpc.server import start_rpc
from mos_center.api.rpc.submissions import SubmissionsServicer
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.queries import ConceptQuery
from mos_center.domain.rights import Needs, Public
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.processes.listening import application
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1.submissions_pb2_grpc import (
    SubmissionsStub,
    add_SubmissionsServicer_to_server,
)
from rights_expectations import EXPECTED, HIDDEN, LISTS, RPC_EXPECTED, SHOWN, Case
from rights_world import PEOPLE, World
from starlette.routing import Mount, Route

INFO = CenterInfo(version="", grpc="", worker=False)
NOBODY = ("unknown", "expired", "revoked", "disabled")
OWN_LOGIN = {"/", "/dashboard"}
GUARDED = [(call, right) for call, right in ROUTE_RIGHTS.items() if isinstance(right, Needs)]


@pytest.fixture
def data(world: World, tmp_path: Path) -> Iterator[OpenedData]:
    found = world.copy(tmp_path / "data")
    yield found
    found.database.close()


@asynccontextmanager
async def answering(data: OpenedData) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application, dashboard included, without a socket."""
    app = application(data.center(), INFO, data.settings, asyncio.Event())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def routes(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path template of every route, those of included routers too."""
    for item in app.routes:
        for route in getattr(item, "original_router", item).routes if _nests(item) else [item]:
            if isinstance(route, Mount):
                yield "MOUNT", route.path
            else:
                assert isinstance(route, Route)
                yield from ((method, route.path) for method in route.methods or ())


def _nests(item: object) -> bool:
    return getattr(item, "original_router", None) is not None


def dummy(template: str) -> str:
    """A path that the template matches."""
    return re.sub(r"\{[^}]*\}", "1", template)


def test_the_table_lists_exactly_the_routes_that_there_are(data: OpenedData) -> None:
    app = application(data.center(), INFO, data.settings, asyncio.Event())
    found = {call for call in routes(app) if call[1] not in OWN_LOGIN}

    implied = {("HEAD", path) for method, path in ROUTE_RIGHTS if method == "GET"}
    assert found - implied == ROUTE_RIGHTS.keys() - implied
    assert len(found) > 60


def test_the_table_lists_exactly_the_rpcs_that_there_are() -> None:
    services = [
        service
        for file in (wire.DESCRIPTOR, health_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
    ]
    found = {
        f"/{service.full_name}/{method.name}" for service in services for method in service.methods
    }

    assert found == RPC_RIGHTS.keys()


def test_every_guarded_route_and_rpc_says_what_each_caller_gets() -> None:
    assert EXPECTED.keys() == {call for call, _ in GUARDED}
    guarded = {name for name, right in RPC_RIGHTS.items() if isinstance(right, Needs)}
    assert RPC_EXPECTED.keys() == guarded


def test_only_these_routes_and_rpcs_are_open_to_everybody() -> None:
    table = [*ROUTE_RIGHTS.items(), *RPC_RIGHTS.items()]
    assert {call for call, right in table if isinstance(right, Public)} == {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/errors/{code}"),
        ("POST", "/v1/join"),
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/List",
    }


async def test_without_a_token_that_is_good_now_no_route_answers(
    data: OpenedData, world: World
) -> None:
    async with answering(data) as http:
        for (method, template), _ in GUARDED:
            for token in (None, *(world.tokens[name] for name in NOBODY)):
                answer = await http.request(method, dummy(template), headers=bearer(token))
                assert answer.status_code == 401, (method, template, token)
                assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_without_the_scope_is_refused_by_every_route(
    data: OpenedData, world: World
) -> None:
    async with answering(data) as http:
        for (method, template), right in GUARDED:
            if right.scope is not None:
                headers = bearer(world.tokens[f"without {right.scope}"])
                answer = await http.request(method, dummy(template), headers=headers)
                assert answer.status_code == 403, (method, template)
                assert method == "HEAD" or right.scope in answer.json()["detail"]


async def test_a_member_without_the_role_is_refused_by_every_route(
    data: OpenedData, world: World
) -> None:
    async with answering(data) as http:
        for (method, template), right in GUARDED:
            for caller, role in (("bob", Role.MEMBER), ("rita", Role.CURATOR)):
                if not role.covers(right.role):
                    headers = bearer(world.tokens[caller])
                    answer = await http.request(method, dummy(template), headers=headers)
                    assert answer.status_code == 403, (method, template, caller)


async def test_a_route_that_the_table_does_not_list_does_not_exist(
    data: OpenedData, world: World
) -> None:
    app = application(data.center(), INFO, data.settings, asyncio.Event())
    app.add_api_route("/v1/secret", lambda: "told", methods=["GET", "POST"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        headers = bearer(world.tokens["root"])
        assert (await http.get("/v1/secret", headers=headers)).status_code == 404
        assert (await http.post("/v1/secret")).status_code == 401
        assert (await http.put("/v1/bases", headers=headers)).status_code == 405


@pytest.mark.parametrize("call", sorted(EXPECTED), ids=" ".join)
async def test_each_caller_gets_what_the_table_of_expectations_says(
    call: tuple[str, str], world: World, tmp_path: Path
) -> None:
    method, cases = call[0], EXPECTED[call]
    runs = [(case, caller) for case in cases for caller in PEOPLE]
    for number, some in enumerate(_together(method, runs)):
        data = world.copy(tmp_path / str(number))
        async with answering(data) as http:
            for case, caller in some:
                told = await ask(http, method, case, world, caller)
                assert told.status_code == case.status(caller), (case.path, caller, told.text)
        data.database.close()


def _together(method: str, runs: list[tuple[Case, str]]) -> list[list[tuple[Case, str]]]:
    """The calls that can be made in one world: each that changes something has its own."""
    if method in ("GET", "HEAD"):
        return [runs]
    refused = [(case, caller) for case, caller in runs if case.status(caller) >= 400]
    return [refused, *([run] for run in runs if run not in refused)]


async def ask(
    http: httpx.AsyncClient, method: str, case: Case, world: World, caller: str
) -> httpx.Response:
    headers = bearer(world.tokens[caller])
    path = case.path.format(**world.ids)
    return await http.request(method, path, headers=headers, json=case.body)


async def test_no_list_shows_what_its_reader_may_not_see(data: OpenedData, world: World) -> None:
    async with answering(data) as http:
        for path in LISTS:
            for caller in PEOPLE:
                told = await ask(http, "GET", Case(path, ""), world, caller)
                assert told.status_code == 200
                assert not [name for name in HIDDEN[caller] if name in told.text], (path, caller)
                assert all(name in told.text for name in SHOWN.get(path, ())), (path, caller)


async def test_what_is_hidden_and_what_is_not_there_are_told_alike(
    data: OpenedData, world: World
) -> None:
    pairs = [
        ("/v1/concepts/ada/zhidden", "/v1/concepts/ada/znothing"),
        ("/v1/concepts/ada/zhidden/1", "/v1/concepts/ada/znothing/1"),
        ("/v1/models/m-zhidden", "/v1/models/m-znothing"),
        ("/v1/models/m-zhidden/1", "/v1/models/m-znothing/1"),
        (f"/v1/fusions/{world.ids['f_zhidden']}", "/v1/fusions/znothing"),
        (f"/v1/submissions/{world.ids['zhidden']}", "/v1/submissions/znothing"),
        (f"/v1/tokens/{world.ids['ada_token']}", "/v1/tokens/znothing"),
    ]
    async with answering(data) as http:
        for hidden, absent in pairs:
            method = "DELETE" if "tokens" in hidden else "GET"
            headers = bearer(world.tokens["bob"])
            told = [await http.request(method, path, headers=headers) for path in (hidden, absent)]
            assert {answer.status_code for answer in told} == {404}, hidden
            names = [path.removeprefix("/v1/").split("/") for path in (hidden, absent)]
            texts = [
                _without(answer.json()["detail"], parts)
                for answer, parts in zip(told, names, strict=True)
            ]
            assert texts[0] == texts[1], hidden


def _without(text: str, parts: list[str]) -> str:
    for part in parts:
        text = text.replace(part, "…")
    return text


@asynccontextmanager
async def called(data: OpenedData, token: str | None) -> AsyncIterator[dict[str, Callable]]:
    """Every guarded RPC about ada's things, by full name."""
    server = await start_rpc(data.center(), asyncio.Event(), "127.0.0.1:0", None)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield _calls(SubmissionsStub(channel), data, metadata)
    server.telling.cancel()
    await server.server.stop(0)


def _calls(stub: SubmissionsStub, data: OpenedData, metadata: tuple) -> dict[str, Callable]:
    with data.database.read() as transaction:
        (upload,) = transaction.submissions.find(
            states=[SubmissionState.UPLOADING], viewer=None, query=ConceptQuery(), limit=10
        )
    entry = upload.manifest.files[0]
    content = b"".join(_blob(data, entry.sha256))

    async def parts() -> AsyncIterator[wire.PutBlobRequest]:
        start = wire.BlobStart(submission_id=upload.id, sha256=entry.sha256)
        yield wire.PutBlobRequest(start=start)
        yield wire.PutBlobRequest(data=content)

    offer = wire.OfferRequest(manifest=upload.manifest.to_bytes())
    calls = {
        "Offer": lambda: stub.Offer(offer, metadata=metadata),
        "PutBlob": lambda: stub.PutBlob(parts(), metadata=metadata),
        "Commit": lambda: stub.Commit(
            wire.CommitRequest(submission_id=upload.id), metadata=metadata
        ),
        "Watch": lambda: stub.Watch(wire.WatchRequest(submission_id=upload.id), metadata=metadata),
    }
    return {f"/mos.v1.Submissions/{name}": call for name, call in calls.items()}


def _blob(data: OpenedData, sha256: str) -> Iterator[bytes]:
    with data.blobs.open(sha256) as file:
        yield file.read()


async def code_of(call: Any) -> str:
    """How a call ends; a stream that begins to answer is as good as one that ends."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                return "OK"
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def test_without_a_token_that_is_good_now_no_rpc_answers(
    data: OpenedData, world: World
) -> None:
    for token in (None, *(world.tokens[name] for name in NOBODY)):
        async with called(data, token) as calls:
            for name, call in calls.items():
                assert await code_of(call()) == "UNAUTHENTICATED", name


async def test_a_token_without_the_scope_is_refused_by_every_rpc(
    data: OpenedData, world: World
) -> None:
    for name, right in RPC_RIGHTS.items():
        if isinstance(right, Needs):
            async with called(data, world.tokens[f"without {right.scope}"]) as calls:
                assert await code_of(calls[name]()) == "PERMISSION_DENIED", name


@pytest.mark.parametrize("caller", PEOPLE)
async def test_each_caller_gets_what_is_expected_of_each_rpc(
    caller: str, data: OpenedData, world: World
) -> None:
    async with called(data, world.tokens[caller]) as calls:
        for name, expected in RPC_EXPECTED.items():
            wanted = expected.split()[PEOPLE.index(caller)]
            assert await code_of(calls[name]()) == wanted, (name, caller)


async def test_an_rpc_that_the_table_does_not_list_is_open_to_nobody(data: OpenedData) -> None:
    server = grpc.aio.server(interceptors=[Edge(lambda token: LOCAL, {}, RateLimits(0))])
    servicer = SubmissionsServicer(data.center(), asyncio.Event())
    add_SubmissionsServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for name, call in _calls(SubmissionsStub(channel), data, ()).items():
            assert await code_of(call()) == "PERMISSION_DENIED", name
    await server.stop(0)


def test_a_right_can_not_ask_for_a_role_and_for_no_scope() -> None:
    with pytest.raises(ValueError, match="weakest token"):
        Needs(role=Role.ADMIN)


async def test_a_body_above_the_limit_is_refused_before_anybody_is_asked_who_calls(
    data: OpenedData,
) -> None:
    async with answering(data) as http:
        answer = await http.post("/v1/join", content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
