"""The gRPC server: submissions and the standard health service."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from mos_protocol.wire.v1 import submissions_pb2, submissions_pb2_grpc

from mos_center.api.rpc.edge import Edge
from mos_center.api.rpc.submissions import SubmissionsServicer
from mos_center.service.center import Center

# Blobs come in pieces of 1 MiB, manifests have at most 256 KiB.
MAX_MESSAGE_BYTES = 3 * 512 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Two centers on one port would each get half of the calls.
    ("grpc.so_reuseport", 0),
)
SERVICE = submissions_pb2.DESCRIPTOR.services_by_name["Submissions"].full_name


async def create_server(center: Center, stopping: asyncio.Event) -> grpc.aio.Server:
    """Build the server, without a port; call `add_insecure_port`, then `start`."""
    server = grpc.aio.server(
        interceptors=[Edge(center.tokens.authenticate)], options=list(_OPTIONS)
    )
    submissions_pb2_grpc.add_SubmissionsServicer_to_server(
        SubmissionsServicer(center, stopping), server
    )
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", SERVICE):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return server
