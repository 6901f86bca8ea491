"""What the running center puts together: the worker and where it keeps sums."""

from __future__ import annotations

import asyncio
import os
import socket
from importlib.metadata import version
from pathlib import Path

import pytest
from center_steps import submit_folder
from concept_packages import write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Fusion
from mos_center.domain.states import FusionState, is_finished
from mos_center.opening import OpenedData
from mos_center.processes.serving import working
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.settings import Settings
from mos_diffusion.base_model import read_layer_map
from tiny_base import write_tiny_base


@pytest.fixture
def data(settings: Settings, tmp_path: Path) -> OpenedData:
    """A center with the tiny base and one concept for it."""
    data = OpenedData(settings)
    layers = read_layer_map(write_tiny_base(tmp_path / "base"))
    center = data.center()
    center.bases.add("tiny", tmp_path / "base", layers, {})
    submit_folder(center, write_package(tmp_path / "package", layers))
    return data


async def fused(data: OpenedData, settings: Settings) -> Fusion:
    """Run a worker until the one fusion that is requested has ended."""
    async with working(data, settings) as queue:
        fusions = data.center(queue).fusions
        request = FusionRequest("demo", "tiny", [WantedConcept("ada/potter")])
        fusion, _ = await asyncio.to_thread(fusions.request, request, caller=LOCAL)
        while not is_finished(fusion.state):
            await asyncio.sleep(0.05)
            fusion = await asyncio.to_thread(fusions.get, fusion.id, caller=LOCAL)
    return fusion


@pytest.mark.parametrize("limit", [1 << 30, 0])
async def test_a_worker_keeps_sums_up_to_the_limit_that_is_set(
    data: OpenedData, settings: Settings, limit: int
) -> None:
    chosen = settings.model_copy(update={"worker": True, "sums_cache_bytes": limit})

    fusion = await fused(data, chosen)

    assert (fusion.state, fusion.error) == (FusionState.PUBLISHED, None)
    assert any(chosen.sums.rglob("*.safetensors")) is bool(limit)


async def test_a_worker_tells_of_itself_and_of_every_step_and_samples_a_small_model(
    data: OpenedData, settings: Settings
) -> None:
    fusion = await fused(data, settings.model_copy(update={"worker": True, "device": "cpu"}))

    center = data.center()
    (worker,) = center.workers.all(caller=LOCAL)
    assert (worker.host, worker.pid, worker.device) == (socket.gethostname(), os.getpid(), "cpu")
    assert worker.version == version("mos-federation")
    assert worker.stopped_at is not None
    begun, planned, *events = center.fusions.events(fusion.id, caller=LOCAL, after=1)
    assert begun.data == {"executor": worker.executor}
    assert planned.data is not None
    steps = [step["name"] for step in planned.data["steps"]]
    assert "sampling previews" in steps
    assert [event.step for event in events if event.kind == "step_started"] == steps
    assert [event.step for event in events if event.kind == "step_done"] == steps[:-1]
    assert events[-1].kind == "published"
    files = center.models.get(fusion.model, "1", caller=LOCAL).files
    assert "previews/ada/potter.png" in [file.path for file in files]


async def test_a_process_without_a_worker_has_no_queue(
    data: OpenedData, settings: Settings
) -> None:
    async with working(data, settings) as queue:
        assert queue is None
