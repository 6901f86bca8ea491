"""One very large file on its way into a center: seconds, and the memory of the replica meanwhile.

The file holds raw activations, for a base whose layers are wide enough that it may.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
from hub_processes import Hub, Part
from hub_world import World, settings_of
from mos_center.opening import opened
from mos_protocol.layer_map import Block, LayerInput, LayerMap
from mos_protocol.manifest import MANIFEST_FILE, Manifest, MomentsSummary
from mos_protocol.moments import MOMENTS_FORMAT, RAW, moments_path
from mos_protocol.names import Digest
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1 import submissions_pb2_grpc
from tiny_package import relist, tiny_layer_map, write_package

CHUNK = 1 << 20
WIDTH = 1280
INPUTS = 8
BLOCK = "unet.wide"
BASE = "wide"


def large_uploads(hub: Hub, world: World, folder: Path, size: int) -> list[dict[str, Any]]:
    """Send a file of `size` MB through the replica, and one straight to the store."""
    layers = _wide_base(hub)
    found = []
    for number, direct in enumerate((False, True)):
        package = folder / f"package-{number}"
        write_large_package(package, layers, size, seed=number)
        found.append(_upload(hub, world, package, direct))
    return found


def write_large_package(folder: Path, layers: LayerMap, size: int, seed: int) -> Manifest:
    """A valid package whose moments of one block are `size` MB of raw activations."""
    write_package(folder, layers, concept=f"admin/large-{seed}", base_name=BASE)
    for block in layers.blocks:
        rows = size * 1_000_000 // (2 * WIDTH * INPUTS) if block.name == BLOCK else 4
        _write_activations(folder / moments_path(block.name), block, rows, seed)
    manifest = relist(folder)
    summary = MomentsSummary(recording="data", passes=1, activations="raw")
    manifest = manifest.model_copy(update={"moments": summary})
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest


def _wide_base(hub: Hub) -> LayerMap:
    small = tiny_layer_map("e" * 64)
    inputs = tuple(LayerInput(name=f"{BLOCK}.in{n}", width=WIDTH) for n in range(INPUTS))
    layers = small.model_copy(
        update={"blocks": (*small.blocks, Block(name=BLOCK, inputs=inputs, layers=()))}
    )
    with opened(settings_of(hub, "furnish")) as data:
        data.center().bases.add(BASE, hub.folder, layers, {})
    return layers


def _write_activations(path: Path, block: Block, rows: int, seed: int) -> None:
    """(rows, width) float16 for every input of the block, written in pieces."""
    header: dict[str, object] = {"__metadata__": {"format": MOMENTS_FORMAT}}
    at = 0
    for item in block.inputs:
        size = 2 * rows * item.width
        header[f"{item.name}.{RAW}"] = {
            "dtype": "F16", "shape": [rows, item.width], "data_offsets": [at, at + size]
        }  # fmt: skip
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = np.random.default_rng(seed).normal(size=CHUNK // 2).astype(np.float16).tobytes()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        while at > 0:
            at -= file.write(noise[:at])


def _upload(hub: Hub, world: World, package: Path, direct: bool) -> dict[str, Any]:
    api = hub.apis[0]
    headers = {"Authorization": f"Bearer {world.admin}"}
    target = httpx.get(f"{hub.url_of(0)}/v1/center", headers=headers).json()["grpc"]
    metadata = (("authorization", f"Bearer {world.admin}"),)
    data = (package / MANIFEST_FILE).read_bytes()
    with grpc.insecure_channel(target) as channel, Watched(api) as watched:
        stub = submissions_pb2_grpc.SubmissionsStub(channel)
        began = time.perf_counter()
        offer = stub.Offer(wire.OfferRequest(manifest=data), metadata=metadata)
        for blob in offer.missing:
            if direct and blob.put_url:
                _put(blob.put_url, package / blob.path)
            else:
                pieces = _pieces(offer.status.submission_id, blob.sha256, package / blob.path)
                stub.PutBlob(pieces, metadata=metadata)
        sent = time.perf_counter()
        commit = wire.CommitRequest(submission_id=offer.status.submission_id)
        stub.Commit(commit, metadata=metadata)
        done = time.perf_counter()
    size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    return {
        "way": "straight to the store" if direct else "through the replica",
        "megabytes": size // 1_000_000,
        "seconds": sent - began,
        "commit": done - sent,
        "before": watched.before,
        "peak": watched.peak,
    }


def _put(url: str, path: Path) -> None:
    headers = {"Content-Length": str(path.stat().st_size)}
    httpx.put(url, content=_read(path), headers=headers, timeout=600).raise_for_status()


def _pieces(submission: str, sha256: str, path: Path) -> Iterator[wire.PutBlobRequest]:
    yield wire.PutBlobRequest(start=wire.BlobStart(submission_id=submission, sha256=Digest(sha256)))
    for piece in _read(path):
        yield wire.PutBlobRequest(data=piece)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


class Watched:
    """The resident bytes of a part of the hub: at the beginning, and the most inside."""

    def __init__(self, part: Part) -> None:
        self._read: Callable[[], int] = lambda: resident(part)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.peak = 0

    def __enter__(self) -> Watched:
        self.before = self.peak = self._read()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, self._read())


def resident(part: Part) -> int:
    """Resident bytes of the part's process now; 0 while it is away."""
    if part.process is None:
        return 0
    try:
        status = Path(f"/proc/{part.process.pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS 0")
    return int(line.split()[1]) * 1024
