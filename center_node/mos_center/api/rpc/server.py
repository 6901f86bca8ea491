"""The gRPC server: submissions and the standard health service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from mos_protocol.errors import InvalidRequest, MosError
from mos_protocol.wire.v1 import submissions_pb2, submissions_pb2_grpc

from mos_center.api.rate_limits import RateLimits
from mos_center.api.rights import RPC_RIGHTS
from mos_center.api.rpc.edge import Edge
from mos_center.api.rpc.requests import Requests
from mos_center.api.rpc.submissions import SubmissionsServicer
from mos_center.service.center import Center

log = logging.getLogger(__name__)

# Blobs come in pieces of 1 MiB, manifests have at most 256 KiB.
MAX_MESSAGE_BYTES = 3 * 512 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Two centers on one port would each get half of the calls.
    ("grpc.so_reuseport", 0),
)
SERVICE = submissions_pb2.DESCRIPTOR.services_by_name["Submissions"].full_name
HEALTH_SECONDS = 2.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class RpcServer:
    """A server that answers calls on `port`."""

    server: grpc.aio.Server
    port: int
    telling: asyncio.Task[None]

    async def stop(self, grace: float) -> None:
        """Take no more calls, and give running ones `grace` seconds."""
        # What it asks last may hang with the database.
        await asyncio.wait([self.telling], timeout=1)
        await self.server.stop(grace)


async def start_rpc(
    center: Center,
    stopping: asyncio.Event,
    address: str,
    credentials: grpc.ServerCredentials | None,
    limits: RateLimits | None = None,
) -> RpcServer:
    """Answer calls from now on; raises `InvalidRequest` when the address is taken.

    Set `stopping` before `stop`: the health service says so to who asks.
    """
    servicer = health.aio.HealthServicer()
    server = _server(center, stopping, servicer, limits or RateLimits(0))
    port = _bind(server, address, credentials)
    await server.start()
    return RpcServer(server, port, asyncio.create_task(_tell_health(center, servicer, stopping)))


def _server(
    center: Center,
    stopping: asyncio.Event,
    servicer: health.aio.HealthServicer,
    limits: RateLimits,
) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[Requests(), Edge(center.tokens.authenticate, RPC_RIGHTS, limits)],
        options=list(_OPTIONS),
    )
    submissions_pb2_grpc.add_SubmissionsServicer_to_server(
        SubmissionsServicer(center, stopping), server
    )
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return server


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        raise InvalidRequest(
            f"Can't listen on {address}.",
            hint="Choose other ports with --port and --grpc-port, or 0 for free ones.",
        ) from None


async def _tell_health(
    center: Center, servicer: health.aio.HealthServicer, stopping: asyncio.Event
) -> None:
    """Keep the health service true until the center stops."""
    told: str | None = None
    while True:
        last = stopping.is_set()
        reason = "stopping" if last else await _trouble(center)
        if reason != told:
            log.info("health.changed trouble=%s", reason or "none")
            for name in ("", SERVICE):
                await servicer.set(name, _NOT_SERVING if reason else _SERVING)
            told = reason
        # Not the event itself: it may have been set since, and then that is still to be told.
        if last:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), HEALTH_SECONDS)


async def _trouble(center: Center) -> str:
    """Why the center can't work now; "" when it can."""
    try:
        await asyncio.to_thread(center.health.check)
    except MosError as error:
        return error.message
    except Exception as error:
        # This loop must outlive whatever a driver raises.
        log.exception("health.failed")
        return type(error).__name__
    return ""
