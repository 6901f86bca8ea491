"""The real `mos-center serve` process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import grpc
import httpx
import pytest
from center_steps import stored
from concept_packages import small_layer_map, write_package
from mos_center.opening import OpenedData, opened
from mos_center.settings import Settings
from mos_protocol.manifest import MANIFEST_FILE
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1.submissions_pb2_grpc import SubmissionsStub

SERVE = (sys.executable, "-m", "mos_center.main", "serve", "--no-worker")


@dataclass(frozen=True)
class Served:
    """A running process and its addresses."""

    process: subprocess.Popen[str]
    rest: str
    grpc: str

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start `serve` on the data folder `data`; what still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*options: str) -> Served:
        (tmp_path / "data" / "serving.json").unlink(missing_ok=True)
        process = subprocess.Popen(
            [*SERVE, "--data", str(tmp_path / "data"), "--port", "0", "--grpc-port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(),
        )
        processes.append(process)
        addresses = _addresses(process, tmp_path / "data" / "serving.json")
        return Served(process, addresses["rest"], addresses["grpc"])

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_serve_says_where_it_listens_and_stops_within_seconds(
    start: Callable[..., Served], tmp_path: Path
) -> None:
    served = start()
    assert httpx.get(f"{served.rest}/readyz").json() == {"status": "ready"}
    info = httpx.get(f"{served.rest}/v1/center").json()
    assert (info["grpc"], info["worker"]) == (served.grpc, False)

    began = time.monotonic()
    assert served.stop(signal.SIGTERM) == 0

    assert time.monotonic() - began < 10
    assert not (tmp_path / "data" / "serving.json").exists()
    output = served.process.stdout.read()
    assert f"REST {served.rest}  gRPC {served.grpc}" in output
    assert f"data {tmp_path / 'data'}" in output
    assert "No token is configured" in output


def test_a_process_without_a_worker_loads_no_torch(start: Callable[..., Served]) -> None:
    served = start()
    httpx.get(f"{served.rest}/v1/concepts").raise_for_status()

    libraries = Path(f"/proc/{served.process.pid}/maps").read_text()

    assert "_sqlite3" in libraries
    assert "libtorch" not in libraries
    assert "transformers" not in libraries


def test_the_application_is_built_without_importing_torch() -> None:
    program = (
        "import sys, mos_center.processes.serving, mos_center.cli.app\n"
        "print([name for name in ('torch', 'diffusers', 'dbos') if name in sys.modules])"
    )

    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout

    assert output == "[]\n"


def test_a_second_server_on_the_same_data_is_refused(
    start: Callable[..., Served], tmp_path: Path
) -> None:
    start()

    refused = _run("serve", "--no-worker", "--data", str(tmp_path / "data"))

    assert refused.returncode == 4
    assert "error: Another mos-center serves" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_listening_for_others_without_a_token_is_refused(tmp_path: Path) -> None:
    refused = _run("serve", "--no-worker", "--data", str(tmp_path / "data"), "--host", "0.0.0.0")

    assert refused.returncode == 6
    assert "No token is configured" in refused.stderr
    assert "hint: Run `mos-center token create NAME`" in refused.stderr


def test_a_taken_port_is_told_plainly(start: Callable[..., Served], tmp_path: Path) -> None:
    port = start().rest.rpartition(":")[2]

    refused = _run("serve", "--no-worker", "--data", str(tmp_path / "other"), "--port", port)

    assert refused.returncode == 2
    assert f"Can't listen on 127.0.0.1:{port}" in refused.stderr


def test_a_token_made_on_the_command_line_protects_the_running_center(
    start: Callable[..., Served], tmp_path: Path
) -> None:
    served = start()
    made = _run("token", "create", "ada", "--data", str(tmp_path / "data"))

    token = made.stdout.strip()

    assert httpx.get(f"{served.rest}/v1/bases").status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{served.rest}/v1/bases", headers=headers).status_code == 200


def test_a_center_killed_in_mid_upload_asks_for_one_file_again(
    start: Callable[..., Served], tmp_path: Path
) -> None:
    with opened(Settings(data=tmp_path / "data")) as data:
        data.center().bases.add("small", tmp_path, small_layer_map(), {})
        package = write_package(tmp_path / "package")
        served = start()
        first = _offer(served, package)
        assert len(first.missing) == 4
        _send(served, first, first.missing[0], package)

        stalled = _begin(served, first, first.missing[1], package, data)
        assert served.stop(signal.SIGKILL) == -signal.SIGKILL
        stalled.cancel()
        assert len(stored(data)) == 2

        served = start()
        second = _offer(served, package)
        assert second.status.submission_id == first.status.submission_id
        assert [blob.path for blob in second.missing] == [b.path for b in first.missing[1:]]
        assert len(stored(data)) == 1
        for blob in second.missing:
            _send(served, second, blob, package)
        with grpc.insecure_channel(served.grpc) as channel:
            request = wire.CommitRequest(submission_id=second.status.submission_id)
            committed = SubmissionsStub(channel).Commit(request)
        assert committed.status.state == wire.SUBMISSION_STATE_APPROVED
        assert len(stored(data)) == 4


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mos_center.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=_environment(),
        check=False,
    )


def test_a_served_center_delivers_to_a_webhook_on_its_own_machine(
    start: Callable[..., Served],
) -> None:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(self.headers["X-Mos-Event"])
            self.send_response(204)
            self.end_headers()

    told: Queue[str] = Queue()
    served = start()
    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.handle_request, daemon=True).start()
        body = {"url": f"http://127.0.0.1:{receiver.server_port}/", "events": ["ping"]}
        webhook = httpx.post(f"{served.rest}/v1/webhooks", json=body).json()
        httpx.post(f"{served.rest}/v1/webhooks/{webhook['id']}/test").raise_for_status()

        assert told.get(timeout=60) == "ping"


def _environment() -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("MOS_")}
    return {**own, "COLUMNS": "200"}


def _addresses(process: subprocess.Popen[str], path: Path) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "serve did not start"
        time.sleep(0.05)
    return json.loads(path.read_text())


def _offer(served: Served, package: Path) -> wire.OfferReply:
    with grpc.insecure_channel(served.grpc) as channel:
        manifest = (package / MANIFEST_FILE).read_bytes()
        return SubmissionsStub(channel).Offer(wire.OfferRequest(manifest=manifest))


def _parts(offer: wire.OfferReply, blob: wire.Blob, content: bytes) -> list[wire.PutBlobRequest]:
    start = wire.BlobStart(submission_id=offer.status.submission_id, sha256=blob.sha256)
    return [wire.PutBlobRequest(start=start), wire.PutBlobRequest(data=content)]


def _send(served: Served, offer: wire.OfferReply, blob: wire.Blob, package: Path) -> None:
    content = (package / blob.path).read_bytes()
    with grpc.insecure_channel(served.grpc) as channel:
        SubmissionsStub(channel).PutBlob(iter(_parts(offer, blob, content)))


def _begin(
    served: Served, offer: wire.OfferReply, blob: wire.Blob, package: Path, data: OpenedData
) -> grpc.Future:
    """Send half of a blob and leave the stream open; returns when the center has written it."""
    content = (package / blob.path).read_bytes()

    def stalls() -> Iterator[wire.PutBlobRequest]:
        yield from _parts(offer, blob, content[: len(content) // 2])
        time.sleep(30)

    before = len(stored(data))
    call = SubmissionsStub(grpc.insecure_channel(served.grpc)).PutBlob.future(stalls())
    deadline = time.monotonic() + 20
    while len(stored(data)) == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return call
