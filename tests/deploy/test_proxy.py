"""The proxy's own configuration in a real nginx, in front of servers that answer step by step."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import composed
import grpc
import httpx
import pytest
from deployment import DEPLOY
from nginx_process import configuration, running
from servers import free_ports

WAIT = 20
PATIENCE = httpx.Timeout(WAIT)


@dataclass
class Upstream:
    """An HTTP server that tells what it got, and waits where a test says so."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    received: int = 0
    host: str = ""
    address: str = ""

    def handler(upstream) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                upstream.host, upstream.address = self.headers["Host"], self.path
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                self.wfile.write(b"data: first\n\n")
                self.wfile.flush()
                if self.path.startswith("/stream"):
                    assert upstream.go.wait(WAIT)
                    self.wfile.write(b"data: second\n\n")

            def do_PUT(self) -> None:
                left = int(self.headers["Content-Length"])
                while left:
                    piece = self.rfile.read1(min(left, 1 << 16))
                    upstream.received += len(piece)
                    left -= len(piece)
                    upstream.begun.set()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(str(upstream.received).encode())

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


@dataclass(frozen=True)
class Proxy:
    """Where nginx listens, and what stands behind it."""

    rest: str
    grpc: str
    store: str
    authority: Path
    center: Upstream
    objects: Upstream
    log: Path

    def client(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=self.authority)
        return httpx.Client(verify=context, timeout=PATIENCE)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    center, objects = Upstream(), Upstream()
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), upstream.handler()) for upstream in (center, objects)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    rpc, rpc_port = echoing()
    composed.script("certificates.sh", "localhost", tmp_path)
    own, store, health = free_ports(3)
    log = tmp_path / "access.log"
    places = {
        "/tmp/": f"{tmp_path}/",
        "listen 8443": f"listen 127.0.0.1:{own}",
        "listen 9443": f"listen 127.0.0.1:{store}",
        "127.0.0.1:8080": f"127.0.0.1:{health}",
        "$center api;": "$center 127.0.0.1;",
        "$store s3;": "$store 127.0.0.1;",
        "$center:8000": f"$center:{servers[0].server_port}",
        "$center:8001": f"$center:{rpc_port}",
        "$store:8333": f"$store:{servers[1].server_port}",
        "/run/secrets/": f"{tmp_path}/",
        "/dev/stdout": str(log),
    }
    try:
        with running(configuration(places), tmp_path / "nginx.conf", own):
            yield Proxy(
                f"https://localhost:{own}",
                f"localhost:{own}",
                f"https://localhost:{store}",
                tmp_path / "ca.crt",
                center,
                objects,
                log,
            )
    finally:
        rpc.stop(None)
        for server in servers:
            server.shutdown()
            server.server_close()


def echoing() -> tuple[grpc.Server, int]:
    """A gRPC server that answers every message of a stream by its length."""

    def lengths(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for message in messages:
            yield str(len(message)).encode()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    method = grpc.stream_stream_rpc_method_handler(lengths)
    handlers = grpc.method_handlers_generic_handler("mos.v1.Submissions", {"Echo": method})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def test_an_event_arrives_before_the_answer_ends(proxy: Proxy) -> None:
    with proxy.client() as client, client.stream("GET", f"{proxy.rest}/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: first"
        # Only now does the server send the rest.
        proxy.center.go.set()
        assert [line for line in lines if line] == ["data: second"]


def test_an_upload_passes_while_it_is_sent_and_may_be_large(proxy: Proxy) -> None:
    size = 12 << 20

    def content() -> Iterator[bytes]:
        yield bytes(1 << 20)
        # The rest only once the server has begun to read: nothing is collected on the way.
        assert proxy.objects.begun.wait(WAIT)
        for _ in range(size // (1 << 20) - 1):
            yield bytes(1 << 20)

    with proxy.client() as client:
        headers = {"Content-Length": str(size)}
        answer = client.put(f"{proxy.store}/mos/blob", content=content(), headers=headers)

    assert answer.text == str(size)


def test_grpc_streams_both_ways_at_once_and_without_a_limit(proxy: Proxy) -> None:
    answered = threading.Semaphore(0)

    def pieces() -> Iterator[bytes]:
        for _ in range(16):
            yield bytes(1 << 20)
            # Each after the answer to the one before.
            assert answered.acquire(timeout=WAIT)

    credentials = grpc.ssl_channel_credentials(proxy.authority.read_bytes())
    with grpc.secure_channel(proxy.grpc, credentials) as channel:
        lengths = []
        for length in channel.stream_stream("/mos.v1.Submissions/Echo")(pieces(), timeout=WAIT):
            lengths.append(int(length))
            answered.release()

    assert lengths == [1 << 20] * 16


def test_a_signed_address_reaches_the_store_as_it_is_and_stays_out_of_the_log(
    proxy: Proxy,
) -> None:
    with proxy.client() as client:
        client.get(f"{proxy.store}/mos/a%20blob?X-Amz-Signature=abc%2Fdef")

    assert proxy.objects.address == "/mos/a%20blob?X-Amz-Signature=abc%2Fdef"
    assert f"https://{proxy.objects.host}" == proxy.store
    deadline = time.monotonic() + WAIT
    while "/mos/a blob" not in (logged := proxy.log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "abc" not in logged


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_refused(proxy: Proxy) -> None:
    context = ssl.create_default_context(cafile=proxy.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    host, port = proxy.grpc.split(":")

    with (
        socket.create_connection((host, int(port)), WAIT) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain, server_hostname=host)


def test_the_containers_check_asks_the_configured_port() -> None:
    text = (DEPLOY / "nginx" / "nginx.conf").read_text()
    compose = (DEPLOY.parent / "docker-compose.yml").read_text()

    assert "listen 127.0.0.1:8080" in text
    assert "http://127.0.0.1:8080/healthz" in compose
