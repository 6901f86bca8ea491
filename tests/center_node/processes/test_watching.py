"""A real `mos-center serve` as its operator sees it: probes, metrics, log lines, and its end."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from concept_packages import small_layer_map, write_package
from mos_center.opening import opened
from mos_center.settings import Settings
from mos_protocol.manifest import MANIFEST_FILE
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1.submissions_pb2_grpc import SubmissionsStub


@dataclass(frozen=True)
class Watched:
    """A process, where it listens, and its log file."""

    process: subprocess.Popen[bytes]
    rest: str
    grpc: str
    probes: str
    log: Path

    def events(self) -> list[dict[str, object]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with opened(Settings(data=tmp_path / "data")) as data:
        data.center().bases.add("small", tmp_path, small_layer_map(), {})
    log = tmp_path / "log"
    own = {key: value for key, value in os.environ.items() if not key.startswith("MOS_")}
    told = {"MOS_METRICS_PORT": "0", "MOS_LOG_FORMAT": "json", "MOS_LOG_LEVEL": "DEBUG"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mos_center.main", "serve", "--no-worker"),
                *("--data", str(tmp_path / "data"), "--port", "0", "--grpc-port", "0"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=file,
            env={**own, **told},
        )
    addresses = tmp_path / "data" / "serving.json"
    wait_for(addresses.exists)
    found = json.loads(addresses.read_text())
    probes = f"http://127.0.0.1:{found['metrics_port']}"
    yield Watched(process, found["rest"], found["grpc"], probes, log)
    process.kill()
    process.wait()


def test_probes_and_metrics_have_a_port_of_their_own(watched: Watched) -> None:
    httpx.get(f"{watched.rest}/v1/bases").raise_for_status()

    told = httpx.get(f"{watched.probes}/metrics").text

    assert httpx.get(f"{watched.probes}/readyz").json() == {"status": "ready"}
    assert httpx.get(f"{watched.probes}/healthz").json() == {"status": "alive"}
    assert 'mos_build_info{role="api",version="' in told
    assert 'mos_http_requests_total{method="GET",route="/v1/bases",status="200"} 1.0' in told
    assert 'mos_fusions{state="queued"} 0.0' in told
    assert httpx.get(f"{watched.rest}/metrics").status_code in (401, 404)


def test_every_log_line_is_an_object_with_the_requests_id(watched: Watched) -> None:
    httpx.get(f"{watched.rest}/v1/models/none", headers={"X-Request-Id": "from-a-test"})
    httpx.get(f"{watched.rest}/v1/models", headers={"Authorization": "Bearer mos_notvalid-12345"})

    lines = watched.events()

    [answered] = [line for line in lines if line["request_id"] == "from-a-test"]
    assert answered["event"] == "http.answered"
    assert answered["fields"]["route"] == "/v1/models/{name}"
    assert answered["fields"]["status"] == 404
    assert {line["role"] for line in lines} == {"api"}
    assert "notvalid" not in watched.log.read_text()


def test_an_upload_that_is_under_way_is_finished_before_the_end(
    watched: Watched, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "package")
    with grpc.insecure_channel(watched.grpc) as channel:
        stub = SubmissionsStub(channel)
        manifest = (package / MANIFEST_FILE).read_bytes()
        offer = stub.Offer(wire.OfferRequest(manifest=manifest))
        blob = offer.missing[0]
        content = (package / blob.path).read_bytes()
        pieces: queue.Queue[wire.PutBlobRequest | None] = queue.Queue()
        start = wire.BlobStart(submission_id=offer.status.submission_id, sha256=blob.sha256)
        pieces.put(wire.PutBlobRequest(start=start))
        pieces.put(wire.PutBlobRequest(data=content[:100]))
        call = stub.PutBlob.future(iter(pieces.get, None))
        wait_for(lambda: in_flight(watched) == 1)

        watched.process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{watched.probes}/readyz").status_code == 503)
        pieces.put(wire.PutBlobRequest(data=content[100:]))
        pieces.put(None)

        assert call.result(timeout=20).size == len(content)
    assert watched.process.wait(timeout=20) == 0


def in_flight(watched: Watched) -> float:
    told = httpx.get(f"{watched.probes}/metrics").text
    found = [
        line for line in told.splitlines() if line.startswith('mos_calls_in_flight{kind="rpc"')
    ]
    return float(found[0].split()[-1]) if found else 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
