"""A center on a directory and SQLite, and one that really listens on loopback."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import pytest
from mos_center.domain.jobs import Job
from mos_center.domain.models import BaseRecord, Submission
from mos_center.opening import OpenedData, opened
from mos_center.processes.serving import Addresses, listening
from mos_center.service.center import Center
from mos_center.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))

from center_steps import submit_folder
from concept_packages import small_layer_map, write_package
from rights_world import World, make_world


@dataclass
class RecordingQueue:
    """A queue that runs nothing and remembers what it was told."""

    enqueued: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def enqueue(self, job: Job) -> None:
        self.enqueued.append(job.id)

    def cancel(self, fusion_id: str) -> None:
        self.cancelled.append(fusion_id)


@dataclass(frozen=True)
class Running:
    """A center that listens, with clients for it."""

    center: Center
    data: OpenedData
    queue: RecordingQueue
    addresses: Addresses
    http: httpx.AsyncClient
    channel: grpc.aio.Channel
    stopping: asyncio.Event


@pytest.fixture(scope="session")
def empty_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new data folder, kept as it is: copying it is quicker than making one per test."""
    folder = tmp_path_factory.mktemp("empty") / "data"
    with opened(Settings(data=folder)):
        pass
    return folder


@pytest.fixture(scope="session")
def world(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A center with things of every kind, kept as it is: tests change copies."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(empty_data, folder / "data")
    (folder / "packages").mkdir()
    return make_world(folder / "data", folder / "packages")


@pytest.fixture
def settings(tmp_path: Path, empty_data: Path) -> Settings:
    shutil.copytree(empty_data, tmp_path / "data")
    return Settings(data=tmp_path / "data", port=0, grpc_port=0, worker=False)


@pytest.fixture
def data(settings: Settings) -> Iterator[OpenedData]:
    with opened(settings) as found:
        yield found


@pytest.fixture
def queue() -> RecordingQueue:
    return RecordingQueue()


@pytest.fixture
def center(data: OpenedData, queue: RecordingQueue) -> Center:
    return data.center(queue)


@pytest.fixture
def base(center: Center, tmp_path: Path) -> BaseRecord:
    """A registered base called small, without a prior."""
    return center.bases.add("small", tmp_path, small_layer_map(), {})


@pytest.fixture
def package(tmp_path: Path, base: BaseRecord) -> Path:
    """A valid package for the base."""
    return write_package(tmp_path / "package", base.layer_map)


@pytest.fixture
def submit(center: Center, base: BaseRecord, tmp_path: Path) -> Callable[..., Submission]:
    """Write and submit a package; keywords are those of `write_package`."""
    count = iter(range(1000))

    def submit(**options: object) -> Submission:
        number = next(count)
        folder = write_package(
            tmp_path / f"package-{number}", base.layer_map, **{"seed": number, **options}
        )
        return submit_folder(center, folder)

    return submit


@pytest.fixture
async def running(
    data: OpenedData, settings: Settings, center: Center, queue: RecordingQueue
) -> AsyncIterator[Running]:
    stopping = asyncio.Event()
    async with (
        listening(center, settings, stopping) as addresses,
        httpx.AsyncClient(base_url=addresses.rest) as http,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
    ):
        yield Running(center, data, queue, addresses, http, channel, stopping)
