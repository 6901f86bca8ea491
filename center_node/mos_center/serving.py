"""The running center: REST, gRPC and at most one worker in one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from mos_protocol.errors import InvalidRequest, PermissionDenied

from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.app import DISTRIBUTION, create_app
from mos_center.api.rpc.server import create_server
from mos_center.dashboard import app as dashboard
from mos_center.domain.ports import FusionQueue
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.settings import Settings

GRACE_SECONDS = 3
ADDRESS_FILE = "serving.json"
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Addresses:
    """Where a running center is reached from its own machine."""

    rest: str
    grpc: str


def check_protected(center: Center, settings: Settings) -> None:
    """Raise `PermissionDenied` when everyone who reaches this center could use it."""
    usable = [token for token in center.tokens.all() if token.revoked_at is None]
    if not settings.is_loopback and not usable:
        raise PermissionDenied(
            f"No token is configured, and {settings.host} can be reached from other machines.",
            hint="Run `mos-center token create NAME` first, or listen on 127.0.0.1.",
        )


async def serve(
    data: OpenedData, settings: Settings, on_ready: Callable[[Addresses], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called once calls are answered."""
    stopping = _stop_on_signals()
    async with working(data, settings) as queue:
        center = data.center(queue)
        check_protected(center, settings)
        async with listening(center, settings, stopping) as addresses:
            with _announced(settings.data / ADDRESS_FILE, addresses):
                on_ready(addresses)
                await stopping.wait()


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        stopping.set()
        # A second one ends the process at once.
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return stopping


@asynccontextmanager
async def working(data: OpenedData, settings: Settings) -> AsyncIterator[FusionQueue | None]:
    """Run the fusion worker inside the context, if the settings want one here."""
    if not settings.worker:
        yield None
        return
    # Only here: they import torch, which a process without a worker does without.
    from mos_center.fusion.sums_cache import SumsCache
    from mos_center.jobs.worker import FusionWorker

    limit = settings.sums_cache_bytes
    sums = SumsCache(settings.sums, limit) if limit else None
    worker = FusionWorker(data.ledger(), data.blobs, settings.jobs_database, settings.work, sums)
    await asyncio.to_thread(worker.start)
    try:
        yield worker
    finally:
        await asyncio.to_thread(worker.stop)


@asynccontextmanager
async def listening(
    center: Center, settings: Settings, stopping: asyncio.Event
) -> AsyncIterator[Addresses]:
    """Answer REST and gRPC calls inside the context; `stopping` is set when it is left."""
    grpc_server = await create_server(center, stopping)
    rest_socket = _listen(settings.host, settings.port)
    rest_port = rest_socket.getsockname()[1]
    try:
        grpc_port = grpc_server.add_insecure_port(_address(settings.host, settings.grpc_port))
    except RuntimeError:
        rest_socket.close()
        raise _port_taken(settings.host, settings.grpc_port) from None
    await grpc_server.start()
    info = CenterInfo(
        version=version(DISTRIBUTION),
        grpc=settings.grpc_address or _address(settings.host, grpc_port),
        worker=settings.worker,
    )
    rest_server = _RestServer(
        uvicorn.Config(
            _application(center, info, stopping),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    serving = asyncio.create_task(rest_server.serve(sockets=[rest_socket]))
    try:
        here = _WILDCARDS.get(settings.host, settings.host)
        yield Addresses(f"http://{_address(here, rest_port)}", _address(here, grpc_port))
    finally:
        stopping.set()
        rest_server.should_exit = True
        await asyncio.gather(serving, grpc_server.stop(GRACE_SECONDS))


def _application(center: Center, info: CenterInfo, stopping: asyncio.Event) -> FastAPI:
    app = create_app(center, info, stopping, own_login=dashboard.PATH)
    app.mount(dashboard.PATH, dashboard.create_dashboard(center))
    app.add_route("/", lambda request: RedirectResponse(f"{dashboard.PATH}/"))
    return app


class _RestServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals stop the whole center, see `_stop_on_signals`.
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise _port_taken(host, port, error.strerror or "") from None


def _port_taken(host: str, port: int, reason: str = "") -> InvalidRequest:
    told = f" ({reason})" if reason else ""
    return InvalidRequest(
        f"Can't listen on {_address(host, port)}{told}.",
        hint="Choose other ports with --port and --grpc-port, or 0 for free ones.",
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _announced(path: Path, addresses: Addresses) -> Iterator[None]:
    """Have the addresses in a file, complete or absent, while the center serves."""
    content = {"rest": addresses.rest, "grpc": addresses.grpc, "pid": os.getpid()}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
