"""A request's id, from the client through both edges into log, audit log and answer."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Submission
from mos_center.domain.request_context import accepted_request_id, request_context, request_id
from mos_center.telemetry.metrics import REGISTRY
from mos_client import Session
from mos_client.session.request_id import with_request_id
from mos_protocol.errors import MosError, NotFound
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1.submissions_pb2_grpc import SubmissionsStub

ID = "client-5f0c2a"
MADE = re.compile(r"[0-9a-f]{32}")


async def test_the_callers_id_is_answered_back_and_in_every_problem(running: Any) -> None:
    for path, status in (("/v1/bases", 200), ("/v1/models/none", 404), ("/nowhere", 404)):
        answer = await running.http.get(path, headers={"X-Request-Id": ID})

        assert (answer.status_code, answer.headers["x-request-id"]) == (status, ID)
        if status != 200:
            assert answer.json()["request_id"] == ID


@pytest.mark.parametrize(
    "told", [None, "short", "x" * 65, "two words here", "näch-ste-id", "a\tb-c-d-e"]
)
def test_what_can_not_be_kept_is_replaced(told: str | None) -> None:
    assert MADE.fullmatch(accepted_request_id(told))


async def test_calls_without_an_id_get_one_each(running: Any) -> None:
    first, second = [await running.http.get("/healthz") for _ in range(2)]

    assert MADE.fullmatch(first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_an_rpc_has_an_id_whether_it_succeeds_or_not(running: Any, package: Path) -> None:
    stub = SubmissionsStub(running.channel)
    manifest = (package / "manifest.json").read_bytes()

    call = stub.Offer(wire.OfferRequest(manifest=manifest), metadata=(("x-request-id", ID),))
    await call
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Commit(wire.CommitRequest(submission_id="none"))

    assert dict(await call.trailing_metadata())["x-request-id"] == ID
    assert MADE.fullmatch(dict(caught.value.trailing_metadata())["x-request-id"])


async def test_the_id_reaches_the_log_the_audit_log_and_the_fusion(
    running: Any, submit: Callable[..., Submission], caplog: pytest.LogCaptureFixture
) -> None:
    submit()
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(request_id.get())
    logging.getLogger("mos_center").addHandler(handler)
    body = {"model": "demo", "base": "small", "concepts": [{"name": "ada/potter"}]}

    with caplog.at_level(logging.INFO, "mos_center"):
        answer = await running.http.post("/v1/fusions", json=body, headers={"X-Request-Id": ID})

    logging.getLogger("mos_center").removeHandler(handler)
    assert answer.status_code < 300, answer.text
    assert ID in seen
    assert running.center.fusions.get(answer.json()["id"], caller=LOCAL).request_id == ID
    with running.data.database.read() as transaction:
        entries = transaction.audit.entries(limit=100)
    assert ID in [entry.request_id for entry in entries]


def test_a_context_ends_where_it_began() -> None:
    with request_context("outer-request"):
        with request_context("inner-request"):
            assert request_id.get() == "inner-request"
        assert request_id.get() == "outer-request"
    assert request_id.get() == ""


async def test_calls_are_counted_by_template_never_by_path(running: Any, package: Path) -> None:
    def requests(route: str, status: int) -> float:
        labels = {"method": "GET", "route": route, "status": str(status)}
        return REGISTRY.get_sample_value("mos_http_requests_total", labels) or 0

    before = requests("/v1/models/{name}", 404), requests("none", 404)
    await running.http.get("/v1/models/one")
    await running.http.get("/v1/models/two")
    await running.http.get("/one/more/secret/path")
    stub = SubmissionsStub(running.channel)
    await stub.Offer(wire.OfferRequest(manifest=(package / "manifest.json").read_bytes()))

    assert requests("/v1/models/{name}", 404) == before[0] + 2
    assert requests("none", 404) == before[1] + 1
    for family in REGISTRY.collect():
        for sample in family.samples:
            assert "secret" not in str(sample.labels)
    called = {"method": "/mos.v1.Submissions/Offer", "code": "OK"}
    assert REGISTRY.get_sample_value("mos_rpc_calls_total", called) >= 1
    assert REGISTRY.get_sample_value("mos_calls_in_flight", {"kind": "http"}) == 0


async def test_all_that_a_client_asks_carries_one_id(running: Any, package: Path) -> None:
    with Session(running.addresses.rest) as session:
        await asyncio.to_thread(session.submit, package)
        identifier = session._rest.request_id
    with running.data.database.read() as transaction:
        entries = transaction.audit.entries(limit=100)

    assert identifier in {entry.request_id for entry in entries}


def test_an_error_that_only_the_operator_understands_names_the_request() -> None:
    internal = with_request_id(MosError("The center failed to answer."), ID)
    plain = with_request_id(NotFound("There is no model."), ID)

    assert ID in internal.hint
    assert ID not in str(plain)
