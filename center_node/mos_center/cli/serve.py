"""`mos-center serve`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer
from rich.markup import escape

from mos_center.cli.edge import console
from mos_center.cli.options import Data
from mos_center.domain.policy import Review
from mos_center.opening import only_server, opened
from mos_center.settings import load_settings
from mos_center.telemetry.logs import configure_logs


def serve(
    data: Data = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on (MOS_HOST)  [default: 127.0.0.1]"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="REST port, 0: a free one (MOS_PORT)  [default: 8000]")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="gRPC port, 0: a free one (MOS_GRPC_PORT)  [default: 8001]")
    ] = None,
    worker: Annotated[
        bool | None,
        typer.Option("--worker/--no-worker", help="Run fusions here (MOS_WORKER)  [default: yes]"),
    ] = None,
    review: Annotated[
        Review | None,
        typer.Option(help="What becomes of valid packages (MOS_REVIEW)  [default: automatic]"),
    ] = None,
) -> None:
    """Serve REST, gRPC and, unless told otherwise, one fusion worker."""
    # The web framework and gRPC are imported for this command alone.
    from mos_center.processes.serving import Addresses
    from mos_center.processes.serving import serve as serve_until_stopped

    settings = load_settings(
        os.environ,
        data=data,
        host=host,
        port=port,
        grpc_port=grpc_port,
        worker=worker,
        review=review,
    )
    configure_logs(settings.log_level, settings.log_format, "api")

    def on_ready(addresses: Addresses) -> None:
        console.print(f"REST {addresses.rest}  gRPC {addresses.grpc}", soft_wrap=True)
        console.print(f"data {escape(str(settings.data.resolve()))}", soft_wrap=True)
        if center.tokens.is_open():
            console.print(
                "No token is configured: only programs on this machine can call, without one.\n"
                "Run `mos-center token create NAME` to protect it.",
                soft_wrap=True,
            )

    with only_server(settings), opened(settings) as opened_center:
        opened_center.blobs.sweep()
        center = opened_center.center()
        asyncio.run(serve_until_stopped(opened_center, settings, on_ready))
