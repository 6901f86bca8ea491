from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from center_steps import stored
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mos_center.domain.access import LOCAL
from mos_center.service.center import Center
from mos_protocol.errors import EDGES
from mos_protocol.manifest import MANIFEST_FILE
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1.submissions_pb2_grpc import SubmissionsStub


@pytest.fixture
def stub(running: Any, base: object) -> SubmissionsStub:
    return SubmissionsStub(running.channel)


async def send(stub: SubmissionsStub, submission_id: str, sha256: str, content: bytes) -> int:
    async def parts() -> AsyncIterator[wire.PutBlobRequest]:
        start = wire.BlobStart(submission_id=submission_id, sha256=sha256)
        yield wire.PutBlobRequest(start=start)
        for offset in range(0, len(content), 100):
            yield wire.PutBlobRequest(data=content[offset : offset + 100])

    return (await stub.PutBlob(parts())).size


async def offer(stub: SubmissionsStub, package: Path) -> wire.OfferReply:
    return await stub.Offer(wire.OfferRequest(manifest=(package / MANIFEST_FILE).read_bytes()))


async def test_a_package_is_offered_sent_and_committed(
    stub: SubmissionsStub, package: Path
) -> None:
    offered = await offer(stub, package)
    assert offered.status.state == wire.SUBMISSION_STATE_UPLOADING
    for blob in offered.missing:
        assert blob.put_url == ""
        content = (package / blob.path).read_bytes()
        assert await send(stub, offered.status.submission_id, blob.sha256, content) == blob.size

    committed = await stub.Commit(wire.CommitRequest(submission_id=offered.status.submission_id))

    assert committed.status.state == wire.SUBMISSION_STATE_APPROVED
    assert (committed.status.concept, committed.status.version) == ("ada/potter", 1)
    assert list((await offer(stub, package)).missing) == []


async def test_watching_tells_the_states_until_one_stays(
    stub: SubmissionsStub, center: Center, package: Path
) -> None:
    offered = await offer(stub, package)
    seen: list[int] = []
    async for status in stub.Watch(wire.WatchRequest(submission_id=offered.status.submission_id)):
        seen.append(status.state)
        if len(seen) == 1:
            await asyncio.to_thread(
                center.submissions.reject, status.submission_id, "no consent", LOCAL
            )

    assert seen == [wire.SUBMISSION_STATE_UPLOADING, wire.SUBMISSION_STATE_REJECTED]


async def test_a_refusal_travels_with_its_file_and_reason(
    stub: SubmissionsStub, running: Any, package: Path
) -> None:
    offered = await offer(stub, package)
    blob = offered.missing[0]

    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await send(stub, offered.status.submission_id, blob.sha256, b"x" * blob.size)

    assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    told = json.loads(dict(refusal.value.trailing_metadata())["mos-error-bin"])
    assert told["code"] == "invalid_package"
    assert told["fields"]["file"] == blob.path
    assert "content does not match" in told["message"]
    assert stored(running.data) == set()


async def test_an_upload_that_breaks_off_leaves_nothing_and_goes_on(
    stub: SubmissionsStub, running: Any, package: Path
) -> None:
    offered = await offer(stub, package)
    blob = offered.missing[0]
    content = (package / blob.path).read_bytes()
    begun = asyncio.Event()

    async def stalls() -> AsyncIterator[wire.PutBlobRequest]:
        start = wire.BlobStart(submission_id=offered.status.submission_id, sha256=blob.sha256)
        yield wire.PutBlobRequest(start=start)
        yield wire.PutBlobRequest(data=content[:50])
        begun.set()
        await asyncio.sleep(60)

    call = stub.PutBlob(stalls())
    await begun.wait()
    await _until(lambda: stored(running.data) != set())
    call.cancel()
    await _until(lambda: stored(running.data) == set())

    assert len((await offer(stub, package)).missing) == len(offered.missing)
    assert await send(stub, offered.status.submission_id, blob.sha256, content) == blob.size


async def test_too_few_bytes_are_an_interruption_and_no_refusal(
    stub: SubmissionsStub, running: Any, package: Path
) -> None:
    offered = await offer(stub, package)
    blob = offered.missing[0]

    with pytest.raises(grpc.aio.AioRpcError, match=r"10 of \d+ bytes arrived"):
        await send(stub, offered.status.submission_id, blob.sha256, b"x" * 10)

    assert stored(running.data) == set()
    assert (await offer(stub, package)).status.state == wire.SUBMISSION_STATE_UPLOADING


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [wire.PutBlobRequest(data=b"x")],
        [wire.PutBlobRequest()],
    ],
)
async def test_a_stream_that_does_not_begin_with_start_is_refused(
    stub: SubmissionsStub, parts: list[wire.PutBlobRequest]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stub.PutBlob(iter(parts))

    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_above_the_limit_is_refused(stub: SubmissionsStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stub.Offer(wire.OfferRequest(manifest=b" " * (2 << 20)))

    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_bug_is_told_without_its_details(
    stub: SubmissionsStub, running: Any, package: Path
) -> None:
    running.data.blobs.root.rename(running.data.blobs.root.with_name("elsewhere"))
    offered = await offer(stub, package)

    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await send(stub, offered.status.submission_id, offered.missing[0].sha256, b"x")

    assert failure.value.code() is grpc.StatusCode.INTERNAL
    assert "uploads" not in failure.value.details()
    assert "Errno" not in failure.value.details()


def calls(stub: SubmissionsStub) -> dict[str, Callable[..., Any]]:
    return {
        "Offer": lambda **k: stub.Offer(wire.OfferRequest(), **k),
        "PutBlob": lambda **k: stub.PutBlob(iter([wire.PutBlobRequest()]), **k),
        "Commit": lambda **k: stub.Commit(wire.CommitRequest(), **k),
        "Watch": lambda **k: stub.Watch(wire.WatchRequest(), **k),
    }


async def test_every_call_but_health_needs_a_token_once_one_exists(
    stub: SubmissionsStub, running: Any, center: Center
) -> None:
    center.members.add("ada", caller=LOCAL)
    token, _ = center.tokens.create("ada", "laptop", caller=LOCAL)
    service = wire.DESCRIPTOR.services_by_name["Submissions"]
    assert calls(stub).keys() == {method.name for method in service.methods}
    for name, call in calls(stub).items():
        for metadata in ((), (("authorization", "Bearer mos_guess"),)):
            assert await _code(call(metadata=metadata)) == "UNAUTHENTICATED", name
        known = await _code(call(metadata=(("authorization", f"Bearer {token}"),)))
        assert known in {edge.grpc for edge in EDGES.values()} - {"UNAUTHENTICATED", "INTERNAL"}

    health = health_pb2_grpc.HealthStub(running.channel)
    for service_name in ("", "mos.v1.Submissions"):
        reply = await health.Check(health_pb2.HealthCheckRequest(service=service_name))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def _code(call: Any) -> str:
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)
