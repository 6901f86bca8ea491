"""`mos-center openapi`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import typer

from mos_center.moments_reducer import MomentsReducer
from mos_center.service.center import WaitingQueue, assemble
from mos_center.storage.database import SqlDatabase
from mos_center.storage.directory import DirectoryBlobStore


def openapi() -> None:
    """Print the OpenAPI document of the REST API."""
    from mos_center.api.rest.about import CenterInfo
    from mos_center.api.rest.app import create_app

    # The document depends on no data, but the app is built on some; nothing is read.
    with tempfile.TemporaryDirectory() as folder:
        blobs = DirectoryBlobStore(Path(folder))
        center = assemble(SqlDatabase("sqlite://"), blobs, WaitingQueue(), MomentsReducer())
        info = CenterInfo(version="", grpc="", worker=False)
        app = create_app(center, info, asyncio.Event())
        typer.echo(json.dumps(app.openapi(), indent=1))
