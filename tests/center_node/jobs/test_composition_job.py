"""The job of a composition, on the tiny base: what it draws, and whatever happens to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import drawn_center as helper
import pytest
from drawn_center import read, request
from evaluated_center import EvaluatedCenter, evaluated_center
from many_workers import until
from mos_center.domain.access import LOCAL
from mos_center.domain.compositions import Composition, CompositionState
from mos_center.domain.models import Progress
from mos_center.jobs.composition_job import CompositionJob
from mos_center.jobs.patience import Interrupted, Patience
from mos_center.processes.working import new_worker
from mos_center.service.composition_ledger import CompositionLedgerService
from mos_diffusion import watermark
from mos_diffusion.base_model import load_base
from mos_diffusion.composing import compose
from mos_diffusion.marking import mark_of
from mos_diffusion.provenance import read_provenance
from mos_protocol.scene_file import read_scene
from PIL import Image


@pytest.fixture
def center(tiny: SimpleNamespace, tmp_path: Path) -> Iterator[EvaluatedCenter]:
    with evaluated_center(tiny, tmp_path / "data") as found:
        yield found


def step(name: str, work: Callable[[], Any]) -> Any:
    return work()


def job_of(
    center: EvaluatedCenter,
    patience: Patience | None = None,
    ledger: CompositionLedgerService | None = None,
) -> CompositionJob:
    """A job that tells of every denoising step."""
    data = center.data
    ledger = ledger or data.composition_ledger()
    return CompositionJob(ledger, data.blobs, data.settings.drawing, patience, tell_seconds=0)


def picture(center: EvaluatedCenter, composition: Composition, number: int) -> Image.Image:
    stored = center.data.center().compositions.picture(composition.id, number, caller=LOCAL)
    with center.data.blobs.open(stored.sha256) as file:
        return Image.open(BytesIO(file.read())).convert("RGB")


def pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def test_every_seed_becomes_the_picture_that_a_client_would_draw(
    center: EvaluatedCenter, tiny: SimpleNamespace
) -> None:
    composition = request(center)

    job_of(center).run(composition.id, step)

    done = read(center, composition)
    assert (done.state, done.error) == (CompositionState.DONE, None)
    assert done.progress == Progress(6, 6, "drawing")
    assert sorted(done.pictures) == [0, 1, 2, 3, 4, 5]
    assert not list(center.data.settings.drawing.glob("model"))
    own = compose(load_base(tiny.base), read_scene(done.scene), batch_size=4)
    assert [pixels(picture(center, done, n)) for n in range(6)] == [pixels(one) for one in own]


def test_a_picture_says_which_version_drew_it_and_what_was_asked(center: EvaluatedCenter) -> None:
    composition = request(center, seeds=[5])
    job_of(center).run(composition.id, step)
    version = center.data.center().models.get("balls", "1", caller=LOCAL)

    stored = center.data.center().compositions.picture(composition.id, 0, caller=LOCAL)
    with center.data.blobs.local_path(stored.sha256) as path:
        told = read_provenance(path)

    assert told is not None
    assert (told.model, told.digest, told.seeds) == ("balls@1", version.build, (5,))
    assert told.concepts == ("ada/c0@1", "ada/c1@1")
    assert told.prompt == helper.SCENE["prompt"]
    assert told.regions == ("a cat", "a dog")


def test_a_large_picture_carries_the_mark_of_its_version(center: EvaluatedCenter) -> None:
    composition = request(center, seeds=[5], size=[512, 512], steps=1, regions=[])
    job_of(center).run(composition.id, step)
    version = center.data.center().models.get("balls", "1", caller=LOCAL)

    assert watermark.read(picture(center, read(center, composition), 0)) == mark_of(version.build)


def test_the_next_scene_of_a_version_needs_no_file_of_it(center: EvaluatedCenter) -> None:
    job, first, second = job_of(center), request(center), request(center, seeds=[9])
    job.run(first.id, step)
    version = center.data.center().models.get("balls", "1", caller=LOCAL)
    weights = version.file("unet/diffusion_pytorch_model.safetensors")
    assert weights is not None
    center.data.blobs.delete(weights.sha256)

    job.run(second.id, step)
    assert read(center, second).state is CompositionState.DONE

    third = request(center)
    job_of(center).run(third.id, step)
    failed = read(center, third)
    assert failed.state is CompositionState.FAILED
    assert failed.error is not None
    assert failed.error.code == "not_found"


class _CancellingLedger(CompositionLedgerService):
    """Somebody cancels as soon as this many steps are done."""

    def __init__(self, center: EvaluatedCenter, at: int) -> None:
        super().__init__(center.data.database, center.data.blobs)
        self._center, self._at = center.data.center(), at

    def progress(self, composition_id: str, done: int, total: int, message: str) -> bool:
        if done == self._at:
            self._center.compositions.cancel(composition_id, caller=LOCAL)
        return super().progress(composition_id, done, total, message)


@pytest.mark.parametrize(("at", "drawn"), [(2, []), (4, [0, 1, 2, 3])])
def test_cancelled_between_two_denoising_steps_it_keeps_what_is_drawn(
    center: EvaluatedCenter, at: int, drawn: list[int]
) -> None:
    composition = request(center)

    job_of(center, ledger=_CancellingLedger(center, at)).run(composition.id, step)

    stopped = read(center, composition)
    assert stopped.state is CompositionState.CANCELLED
    assert sorted(stopped.pictures) == drawn
    assert stopped.progress.done == at - 1


class _EndingLedger(CompositionLedgerService):
    """The worker is told to stop when the fourth step is done."""

    patience = Patience()

    def progress(self, composition_id: str, done: int, total: int, message: str) -> bool:
        if done == 4:
            self.patience.end()
        return super().progress(composition_id, done, total, message)


def test_a_worker_that_stops_leaves_the_rest_to_the_next(center: EvaluatedCenter) -> None:
    composition, patience = request(center), Patience()
    ledger = _EndingLedger(center.data.database, center.data.blobs)
    ledger.patience = patience
    with pytest.raises(Interrupted):
        job_of(center, patience, ledger).run(composition.id, step)
    left = read(center, composition)
    assert (left.state, sorted(left.pictures)) == (CompositionState.RUNNING, [0, 1, 2, 3])

    job_of(center).run(composition.id, step)

    assert read(center, composition).state is CompositionState.DONE


def test_what_breaks_is_told_with_where_to_look(center: EvaluatedCenter) -> None:
    composition = request(center)

    def breaking(name: str, work: Callable[[], Any]) -> Any:
        raise RuntimeError("out of memory")

    job_of(center).run(composition.id, breaking)

    failed = read(center, composition)
    assert failed.error is not None
    assert "RuntimeError" in failed.error.message
    assert composition.id in failed.error.hint


def test_what_kills_its_workers_is_given_up(center: EvaluatedCenter) -> None:
    composition = request(center)

    assert job_of(center).lost(composition.id, killed=True) is False

    failed = read(center, composition)
    assert failed.error is not None
    assert "again and again" in failed.error.message


def test_a_killed_worker_s_composition_is_finished_by_the_next_one(
    center: EvaluatedCenter, tiny: SimpleNamespace
) -> None:
    composition = request(center)
    settings = center.data.settings
    command = [sys.executable, helper.__file__, str(settings.data), "4"]
    process = subprocess.Popen(command)
    try:
        until(lambda: process.poll() is not None or (settings.data / "hangs").exists())
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    before = read(center, composition)
    assert (before.state, sorted(before.pictures)) == (CompositionState.RUNNING, [0, 1, 2, 3, 4])

    worker = new_worker(center.data, settings)
    worker.start()
    until(lambda: read(center, composition).state.is_finished)
    worker.stop()

    done = read(center, composition)
    assert done.state is CompositionState.DONE
    assert {number: done.pictures[number] for number in before.pictures} == before.pictures
    own = compose(load_base(tiny.base), read_scene(done.scene), batch_size=4)
    assert pixels(picture(center, done, 5)) == pixels(own[5])
