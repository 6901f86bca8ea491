"""The composed center as processes: database, store, migration, two replicas, proxy."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import composed
import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nginx_process import configuration, running
from servers import free_ports, postgres_server


@dataclass(frozen=True)
class Stack:
    """How clients reach the center, and where each replica tells its metrics."""

    address: str
    grpc: str
    authority: Path
    token: str
    replicas: list[str]
    metrics: list[str]
    command: Callable[..., subprocess.CompletedProcess[str]]

    def get(self, path: str, **headers: str) -> httpx.Response:
        context = ssl.create_default_context(cafile=self.authority)
        return httpx.get(self.address + path, headers=headers, verify=context)

    @property
    def proof(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    secrets = folder / "secrets"
    composed.script("secrets.sh", secrets)
    composed.script("certificates.sh", "localhost", secrets)
    with ExitStack() as ending:
        database = ending.enter_context(postgres_server())
        (secrets / "mos_database_url").unlink()
        (secrets / "mos_database_url").write_text(database.url(database.new_database()))
        store = ending.enter_context(composed.store(secrets))
        composed.make_bucket()(store)
        own, health = free_ports(2)
        shared = {
            "MOS_SECRETS_DIR": secrets,
            "MOS_S3_ENDPOINT": store.s3_endpoint,
            "MOS_S3_BUCKET": store.s3_bucket,
            "MOS_S3_PUBLIC_ENDPOINT": store.s3_endpoint,
            "MOS_GRPC_ADDRESS": f"localhost:{own}",
        }

        def command(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                composed.center(*arguments),
                env=composed.environment("api", **shared, MOS_DATA=folder / "command"),
                capture_output=True,
                text=True,
                check=False,
            )

        for arguments in (["migrate"], ["member", "add", "ada", "--role", "admin"]):
            done = command(*arguments)
            assert done.returncode == 0, done.stderr
        token = command("token", "create", "ada").stdout.split()[0]
        replicas = [
            ending.enter_context(replica(folder / name, shared)) for name in ("first", "second")
        ]
        rest, rpc, metrics = zip(*replicas, strict=True)
        text = configuration(
            {
                "/tmp/": f"{folder}/",
                "listen 8443": f"listen 127.0.0.1:{own}",
                "listen 9443": f"listen 127.0.0.1:{free_ports(1)[0]}",
                "127.0.0.1:8080": f"127.0.0.1:{health}",
                # In containers, the name stands for both.
                "$center:8000": "both_rest",
                "$center:8001": "both_rpc",
                "/run/secrets/": f"{secrets}/",
                "/dev/stdout": str(folder / "access.log"),
                "    server {\n        listen 127.0.0.1:" + str(own): upstreams(rest, rpc)
                + "    server {\n        listen 127.0.0.1:"
                + str(own),
            }
        )
        ending.enter_context(running(text, folder / "nginx.conf", own))
        yield Stack(
            f"https://localhost:{own}",
            f"localhost:{own}",
            secrets / "ca.crt",
            token,
            [f"http://127.0.0.1:{port}" for port in rest],
            [f"http://127.0.0.1:{port}" for port in metrics],
            command,
        )


def upstreams(rest: tuple[int, ...], rpc: tuple[int, ...]) -> str:
    blocks = {"both_rest": rest, "both_rpc": rpc}
    return "".join(
        f"    upstream {name} {{ {' '.join(f'server 127.0.0.1:{port};' for port in ports)} }}\n"
        for name, ports in blocks.items()
    )


@contextmanager
def replica(data: Path, shared: dict[str, object]) -> Iterator[list[int]]:
    """An API process with its own folder; yields its ports for REST, gRPC and metrics."""
    ports = free_ports(3)
    places = dict(zip(("MOS_PORT", "MOS_GRPC_PORT", "MOS_METRICS_PORT"), ports, strict=True))
    process = subprocess.Popen(
        composed.center(*composed.SERVICES["api"]["command"]),
        env=composed.environment("api", **shared, MOS_DATA=data, **places),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ready = f"http://127.0.0.1:{ports[2]}/readyz"
    try:
        composed.wait_for(process, lambda: httpx.get(ready).status_code == 200)
        yield ports
    finally:
        process.kill()
        process.wait()


def test_members_call_through_the_proxy_with_a_token(stack: Stack) -> None:
    told = stack.get("/v1/center", **stack.proof).json()

    assert told["grpc"] == stack.grpc
    assert told["worker"] is False
    assert stack.get("/v1/me", **stack.proof).json()["role"] == "admin"
    assert stack.get("/v1/me").status_code == 401


def test_grpc_has_the_same_address(stack: Stack) -> None:
    credentials = grpc.ssl_channel_credentials(stack.authority.read_bytes())
    with grpc.secure_channel(stack.grpc, credentials) as channel:
        request = health_pb2.HealthCheckRequest(service="mos.v1.Submissions")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=20)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_both_replicas_answer_and_see_the_same(stack: Stack) -> None:
    assert stack.command("member", "add", "ben").returncode == 0

    for replica_address in stack.replicas:
        answer = httpx.get(f"{replica_address}/v1/members", headers=stack.proof)
        assert {"ada", "ben"} <= {member["name"] for member in answer.json()["items"]}


def test_each_replica_tells_its_metrics_beside_the_proxy(stack: Stack) -> None:
    for metrics_address in stack.metrics:
        told = httpx.get(f"{metrics_address}/metrics").text
        assert "mos_queue_length 0.0" in told
        assert 'role="api"' in told
    assert stack.get("/metrics", **stack.proof).status_code in {401, 404}


def test_the_doctor_finds_database_and_store_in_order(stack: Stack) -> None:
    found = stack.command("doctor")

    assert "fail" not in found.stdout.lower(), found.stdout
    assert found.returncode == 0, found.stdout + found.stderr
