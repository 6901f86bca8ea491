"""The listeners of a center: REST and gRPC, with TLS when the settings name a certificate."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from mos_protocol.errors import InvalidRequest

from mos_center.api.rate_limits import RateLimits
from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.app import DISTRIBUTION, create_app
from mos_center.api.rest.requests import Requests
from mos_center.api.rpc.server import start_rpc
from mos_center.dashboard import app as dashboard
from mos_center.processes.tls import RestRenewal, TlsFiles
from mos_center.service.center import Center
from mos_center.settings import Settings

log = logging.getLogger(__name__)

# How long running calls and uploads may take once the center stops.
GRACE_SECONDS = 8
# How long a center that others reach still answers after it said that it is not ready.
FAREWELL_SECONDS = 1.0
# Longer than clients and proxies keep a connection: else it may end just when one uses it.
KEEP_ALIVE_SECONDS = 75
RENEWAL_SECONDS = 10.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Addresses:
    """Where a running center is reached from its own machine."""

    rest: str
    grpc: str


@asynccontextmanager
async def listening(
    center: Center, settings: Settings, stopping: asyncio.Event
) -> AsyncIterator[Addresses]:
    """Answer REST and gRPC calls inside the context; `stopping` is set when it is left.

    From then on the center says that it is not ready, and what runs gets `GRACE_SECONDS`.
    """
    tls = TlsFiles.of(settings)
    warn_of_plain_text(settings, tls)
    limits = RateLimits(settings.rate_limit)
    with _listen(settings.host, settings.port) as rest_socket:
        rpc = await start_rpc(
            center,
            stopping,
            host_and_port(settings.host, settings.grpc_port),
            tls.grpc_credentials() if tls else None,
            limits,
        )
        info = CenterInfo(
            version=version(DISTRIBUTION),
            grpc=settings.grpc_address or host_and_port(settings.host, rpc.port),
            worker=settings.worker,
        )
        app = application(center, info, settings, stopping, limits)
        rest = _RestServer.start(app, rest_socket, tls)
        try:
            yield _addresses(settings.host, rest_socket, rpc.port, "https" if tls else "http")
        finally:
            stopping.set()
            if not settings.is_loopback:
                await asyncio.sleep(FAREWELL_SECONDS)
            await asyncio.gather(rest.stop(), rpc.stop(GRACE_SECONDS))


def _addresses(host: str, rest: socket.socket, grpc_port: int, scheme: str) -> Addresses:
    here = _WILDCARDS.get(host, host)
    rest_address = host_and_port(here, rest.getsockname()[1])
    return Addresses(f"{scheme}://{rest_address}", host_and_port(here, grpc_port))


def application(
    center: Center,
    info: CenterInfo,
    settings: Settings,
    stopping: asyncio.Event,
    limits: RateLimits | None = None,
) -> FastAPI:
    """The REST API and the dashboard."""
    app = create_app(center, info, stopping, own_login=dashboard.PATH, limits=limits)
    app.mount(dashboard.PATH, dashboard.create_dashboard(center, settings, stopping))
    app.add_route("/", lambda request: RedirectResponse(f"{dashboard.PATH}/"))
    return app


def warn_of_plain_text(settings: Settings, tls: TlsFiles | None) -> None:
    """Log when tokens would travel readable; a told gRPC address means that a proxy is in front."""
    if tls is None and not settings.is_loopback and not settings.grpc_address:
        log.warning("tls.off host=%s hint=%s", settings.host, "set MOS_TLS_CERT and MOS_TLS_KEY")


def host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _RestServer(uvicorn.Server):
    """Serves as a task of this process's loop; its certificate is renewed by another one."""

    tasks: tuple[asyncio.Task[None], ...] = ()

    @classmethod
    def start(cls, app: FastAPI, bound: socket.socket, tls: TlsFiles | None) -> Self:
        config = uvicorn.Config(
            Requests(app),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        if tls is not None:
            _use_tls(config, tls)
        config.load()
        server = cls(config)
        server.tasks = (
            asyncio.create_task(server.serve(sockets=[bound])),
            asyncio.create_task(_renew(tls, config.ssl)),
        )
        return server

    async def stop(self) -> None:
        """Take no more requests, and give running ones `GRACE_SECONDS`."""
        serving, renewing = self.tasks
        renewing.cancel()
        self.should_exit = True
        await serving

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals stop the whole center, see `serving`.
        yield


def _use_tls(config: uvicorn.Config, tls: TlsFiles) -> None:
    config.ssl_certfile = tls.cert
    config.ssl_keyfile = tls.key
    if tls.client_ca is not None:
        config.ssl_ca_certs = str(tls.client_ca)
        config.ssl_cert_reqs = ssl.CERT_REQUIRED


async def _renew(tls: TlsFiles | None, context: ssl.SSLContext | None) -> None:
    """Take up a changed certificate within seconds."""
    if tls is None or context is None:
        return
    renewal = RestRenewal(tls, context)
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        await asyncio.to_thread(renewal.look)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise port_taken(host_and_port(host, port), error.strerror or "") from None
    # Connections inherit it. Without it small answers wait for the other side's delayed receipt:
    # 40 ms each on a connection that is kept.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def port_taken(address: str, reason: str = "") -> InvalidRequest:
    """Why nothing listens there."""
    told = f" ({reason})" if reason else ""
    return InvalidRequest(
        f"Can't listen on {address}{told}.",
        hint="Choose other ports with --port and --grpc-port, or 0 for free ones.",
    )
