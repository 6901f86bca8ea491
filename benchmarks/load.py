"""Many clients at once: what control calls take, and what uploads do to the center's memory.

A PostgreSQL and an S3 server run beside one API replica, all on this machine and loopback, with
the clients in one more process. Every client submits a small package and looks at its submission,
at the concepts and at the fusions again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from measuring import megabytes, table, write_json
from mos_protocol.manifest import MANIFEST_FILE, Manifest, read_manifest
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1 import submissions_pb2_grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from hub_processes import Hub, running_hub
from hub_world import BASE, World, add_members, hub_settings, settings_of, write_concept
from large_upload import large_uploads, resident
from mos_center.opening import opened
from servers import postgres_server, s3_server
from tiny_package import tiny_layer_map

Figures = dict[str, Any]
CHUNK = 1 << 20
CHANNELS = 16
# In which part of the time, from its beginning, packages are submitted.
SUBMITTING = 0.7


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as a markdown section."""
    parser = argparse.ArgumentParser(description="Load on one API replica.")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between two looks")
    parser.add_argument("--upload-megabytes", type=int, default=2048)
    parser.add_argument("--quick", action="store_true", help="few clients, to see that it runs")
    given = parser.parse_args(argv)
    if given.quick:
        given.clients, given.seconds, given.pause, given.upload_megabytes = 10, 3, 0.3, 64
    result = measure(given.clients, given.seconds, given.pause, given.upload_megabytes)
    print(section(result))
    write_json(given.json, result)
    if result["errors"]:
        sys.exit(f"error: {result['errors']}")


def measure(clients: int, seconds: float, pause: float, upload_megabytes: int) -> Figures:
    """Run the hub, the crowd, then the large uploads."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        postgres_server() as postgres,
        s3_server() as s3,
    ):
        folder, calls = Path(temporary), Calls()
        hub = Hub(folder / "hub", hub_settings(postgres, s3), replicas=1, workers=0)
        names = [f"member-{number}" for number in range(clients)]
        world = _furnish(hub, names)
        packages = [
            _package(folder / "packages" / name, world, number) for number, name in enumerate(names)
        ]
        with running_hub(hub):
            before = resident(hub.apis[0])
            asyncio.run(crowd(hub, world, packages, calls, seconds, pause))
            after = resident(hub.apis[0])
            large = large_uploads(hub, world, folder / "large", upload_megabytes)
    return {
        "clients": clients,
        "seconds": seconds,
        "pause": pause,
        "calls": calls.figures(),
        "errors": dict(calls.errors),
        "memory": {"before": before, "after": after},
        "large": large,
    }


def _furnish(hub: Hub, names: list[str]) -> World:
    """Register a base of two blocks, and give every client a member's token."""
    layers = tiny_layer_map()
    with opened(settings_of(hub, "furnish")) as data:
        center = data.center()
        center.bases.add(BASE, hub.folder, layers, {})
        return World(layers, add_members(center, names))


@dataclass
class Calls:
    """How long each kind of call took, in seconds, and what went wrong."""

    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)

    async def time(self, kind: str, call: Callable[[], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        try:
            return await call()
        except (grpc.aio.AioRpcError, httpx.HTTPError) as error:
            self.errors[f"{kind}: {_reason(error)}"] += 1
            return None
        finally:
            self.taken[kind].append(time.perf_counter() - began)

    def figures(self) -> dict[str, dict[str, float]]:
        """Number, median, 99th percentile and maximum of each kind."""
        return {kind: _quantiles(sorted(taken)) for kind, taken in sorted(self.taken.items())}


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name} {error.details()}"
    return f"{type(error).__name__} {error}"


def _quantile(taken: list[float], share: float) -> float:
    """The value that this share of the sorted `taken` does not exceed."""
    return taken[min(len(taken) - 1, int(share * len(taken)))]


def _quantiles(taken: list[float]) -> dict[str, float]:
    return {
        "calls": len(taken),
        "p50": _quantile(taken, 0.5),
        "p99": _quantile(taken, 0.99),
        "max": taken[-1],
    }


async def crowd(
    hub: Hub, world: World, packages: list[Path], calls: Calls, seconds: float, pause: float
) -> None:
    """Have every client submit and look around until the time is over."""
    trusted = ssl.create_default_context()
    async with AsyncExitStack() as opened_here:
        # A pool each, as clients in processes of their own have it: one for all is slow.
        https = [
            await opened_here.enter_async_context(
                httpx.AsyncClient(base_url=hub.url_of(0), timeout=60, verify=trusted)
            )
            for _ in packages
        ]
        about = await https[0].get("/v1/center", headers=_bearer(world.admin))
        channels = [
            await opened_here.enter_async_context(grpc.aio.insecure_channel(about.json()["grpc"]))
            for _ in range(CHANNELS)
        ]
        await asyncio.gather(*(
            Client(
                package.name, world, package, https[n], channels[n % CHANNELS], calls,
                n / len(packages),
            ).run(seconds, pause)
            for n, package in enumerate(packages)
        ))  # fmt: skip


class Client:
    """One member: submits its package, then looks at the center until the end."""

    def __init__(
        self,
        name: str,
        world: World,
        package: Path,
        http: httpx.AsyncClient,
        channel: grpc.aio.Channel,
        calls: Calls,
        phase: float,
    ) -> None:
        self._token = world.tokens[name]
        self._package = package
        self._http = http
        self._stub = submissions_pb2_grpc.SubmissionsStub(channel)
        self._calls = calls
        self._phase = phase

    async def run(self, seconds: float, pause: float) -> None:
        began = time.monotonic()
        # Not all in the same instant: people don't arrive like that.
        await asyncio.sleep(self._phase * pause)
        submission = None
        while (passed := time.monotonic() - began) < seconds:
            if submission is None and passed >= self._phase * seconds * SUBMITTING:
                submission = await self._submit()
            if submission is not None:
                await self._look(f"/v1/submissions/{submission}")
            await self._look("/v1/concepts?limit=20")
            await self._look("/v1/fusions?limit=20")
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))

    async def _submit(self) -> str:
        manifest = read_manifest(self._package)
        data = (self._package / MANIFEST_FILE).read_bytes()
        metadata = (("authorization", f"Bearer {self._token}"),)
        offer = await self._calls.time(
            "Offer", lambda: self._stub.Offer(wire.OfferRequest(manifest=data), metadata=metadata)
        )
        if offer is None:
            return "none"
        for blob in offer.missing:
            await self._send(manifest, offer.status.submission_id, blob, metadata)
        request = wire.CommitRequest(submission_id=offer.status.submission_id)
        await self._calls.time("Commit", lambda: self._stub.Commit(request, metadata=metadata))
        return str(offer.status.submission_id)

    async def _send(self, manifest: Manifest, submission: str, blob: Any, metadata: Any) -> None:
        content = (self._package / blob.path).read_bytes()
        if blob.put_url:
            await self._calls.time("direct PUT", lambda: self._put(blob.put_url, content))
            return

        async def pieces() -> AsyncIterator[wire.PutBlobRequest]:
            start = wire.BlobStart(submission_id=submission, sha256=blob.sha256)
            yield wire.PutBlobRequest(start=start)
            for at in range(0, len(content), CHUNK):
                yield wire.PutBlobRequest(data=content[at : at + CHUNK])

        await self._calls.time("PutBlob", lambda: self._stub.PutBlob(pieces(), metadata=metadata))

    async def _put(self, url: str, content: bytes) -> None:
        # The store signs for no token, and its address is absolute.
        (await self._http.put(url, content=content)).raise_for_status()

    async def _look(self, path: str) -> None:
        noun = path.split("?")[0].split("/")[2]
        await self._calls.time(f"GET /v1/{noun}", lambda: self._get(path))

    async def _get(self, path: str) -> None:
        (await self._http.get(path, headers=_bearer(self._token))).raise_for_status()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _package(folder: Path, world: World, seed: int) -> Path:
    write_concept(folder, world.layers, f"{folder.name}/pet", seed)
    return folder


def section(result: Figures) -> str:
    """The figures as markdown."""
    rows = [
        [kind, f"{item['calls']}", *(f"{1000 * item[key]:.0f}" for key in ("p50", "p99", "max"))]
        for kind, item in result["calls"].items()
    ]
    before, after = result["memory"]["before"], result["memory"]["after"]
    large = [
        [item["way"], f"{item['megabytes']}", f"{item['seconds']:.1f}", f"{item['commit']:.1f}",
         megabytes(item["before"]), megabytes(item["peak"])]
        for item in result["large"]
    ]  # fmt: skip
    return "\n".join([
        f"## Load: {result['clients']} clients on one API replica", "",
        f"Every client submits one small package and makes three looks about every "
        f"{result['pause']:g} s for {result['seconds']:g} s. PostgreSQL, the S3 server and all "
        "clients share the machine's cores with the replica. "
        f"Errors: {sum(result['errors'].values())}.", "",
        table(["call", "calls", "p50 (ms)", "p99 (ms)", "max (ms)"], rows), "",
        f"Resident memory of the replica: {megabytes(before)} MB before, {megabytes(after)} MB "
        "after.", "", "One large upload, and the replica's memory until it was committed:", "",
        table(["way", "MB", "upload (s)", "commit (s)", "before (MB)", "peak (MB)"], large),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
