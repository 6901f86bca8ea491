"""A small HTTP listener of every process: `/metrics`, `/healthz` and `/readyz`."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from mos_protocol.errors import InvalidRequest, MosError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10


@contextmanager
def listening_for_probes(
    host: str, port: int | None, registry: CollectorRegistry, check: Callable[[], None]
) -> Iterator[int | None]:
    """Answer inside the context, and yield the port; None: nothing listens.

    `check` raises a `MosError` while the process can't work. Raises `InvalidRequest` when the
    port is taken.
    """
    if port is None:
        yield None
        return
    server = _listen(host, port, registry, check)
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    bound = server.server_address[1]
    log.info("probes.listening host=%s port=%d", host, bound)
    try:
        yield bound
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: CollectorRegistry
    check: Callable[[], None]


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server: _Server
    paths: ClassVar[dict[str, str]] = {
        "/metrics": "_metrics",
        "/healthz": "_alive",
        "/readyz": "_ready",
    }

    def do_GET(self) -> None:
        answer = self.paths.get(self.path.partition("?")[0])
        if answer is None:
            self._send(404, b"Not Found\n", "text/plain")
        else:
            getattr(self, answer)()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _metrics(self) -> None:
        encoder, media_type = choose_encoder(self.headers.get("Accept", ""))
        self._send(200, encoder(self.server.registry), media_type)

    def _alive(self) -> None:
        self._send_json(200, {"status": "alive"})

    def _ready(self) -> None:
        try:
            self.server.check()
        except MosError as error:
            self._send_json(503, {"status": "not ready", "detail": error.message})
        else:
            self._send_json(200, {"status": "ready"})

    def _send_json(self, status: int, content: object) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug("probes.answered line=%s", format % args)


def _listen(
    host: str, port: int, registry: CollectorRegistry, check: Callable[[], None]
) -> _Server:
    kind = _ServerV6 if ":" in host else _Server
    try:
        server = kind((host, port), _Handler)
    except OSError as error:
        raise InvalidRequest(
            f"Can't listen on port {port} for metrics ({error.strerror}).",
            hint="Choose another one with MOS_METRICS_PORT, or 0 for a free one.",
        ) from None
    server.registry = registry
    server.check = check
    return server
