"""Transfers at a center's file store: another host, to which the token never goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mos_client.session.rest import RestClient
from mos_client.session.tls import Tls
from mos_client.session.upload import put_directly
from mos_protocol.errors import Unavailable

TOKEN = "mos_secret"
CONTENT = b"a file's bytes"


@dataclass
class Host:
    """Answers every request with `status`, and keeps its headers and body."""

    status: int = 200
    location: str = ""
    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """A center that sends everybody to a store, and the store."""
    center, store = Host(status=307), Host()
    servers = [serve(host) for host in (center, store)]
    center.location = f"{store.url}/bucket/file?signature=s"
    yield center, store
    for server in servers:
        server.shutdown()
        server.server_close()


def serve(host: Host) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.headers.append({key.lower(): value for key, value in self.headers.items()})
            host.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(host.status)
            if host.location:
                self.send_header("Location", host.location)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def fetch(center: Host) -> bytes:
    rest = RestClient(center.url, TOKEN, timeout=10)
    try:
        with rest.stream("/v1/models/demo/1/files/x", {"Range": "bytes=2-"}) as response:
            return response.read()
    finally:
        rest.close()


def test_a_download_follows_to_the_store_and_leaves_the_token_behind(
    hosts: tuple[Host, Host],
) -> None:
    center, store = hosts

    assert fetch(center) == CONTENT

    assert center.headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in store.headers[0]
    assert store.headers[0]["range"] == "bytes=2-"


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_store_that_refuses_is_asked_again_by_way_of_the_center(
    hosts: tuple[Host, Host], status: int
) -> None:
    center, store = hosts
    store.status = status

    with pytest.raises(Unavailable, match=f"file store at 127.0.0.1 answered {status}"):
        fetch(center)


def test_an_upload_is_streamed_with_its_length_and_nothing_else_of_ours(
    hosts: tuple[Host, Host],
) -> None:
    _, store = hosts

    put_directly(f"{store.url}/bucket/x?signature=s", 6, iter([b"abc", b"def"]), Tls())

    assert store.bodies == [b"abcdef"]
    assert store.headers[0]["content-length"] == "6"
    assert "transfer-encoding" not in store.headers[0]
    assert "authorization" not in store.headers[0]


def test_an_upload_that_the_store_refuses_can_be_tried_again(hosts: tuple[Host, Host]) -> None:
    _, store = hosts
    store.status = 403

    with pytest.raises(Unavailable, match="answered 403") as caught:
        put_directly(f"{store.url}/x?X-Amz-Signature=secret", 3, iter([b"abc"]), Tls())

    assert "secret" not in str(caught.value)


def test_a_store_that_is_away_can_be_tried_again() -> None:
    with pytest.raises(Unavailable, match=r"file store at 127\.0\.0\.1 broke off"):
        put_directly("http://127.0.0.1:9/x?X-Amz-Signature=secret", 3, iter([b"abc"]), Tls())
