"""A worker runs what the ledger lists: publishes, fails, stops, is cancelled, cleans up."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading

import pytest
from center_folder import CenterFolder
from fused_models import read_json
from mos_center.domain.jobs import Job
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_protocol.manifest import sha256_of
from mos_protocol.part_weights import PartWeights


def published(known: dict) -> dict[str, str]:
    return {file["path"]: file["sha256"] for file in known["files"]}


class Held:
    """A worker that waits at the moment `at` until it is told to `go`."""

    def __init__(self, center) -> None:
        self.at = ""
        self.reached = threading.Event()
        self.go = threading.Event()
        self.worker = center.worker(self._pause)

    def _pause(self, message: str) -> None:
        if message == self.at:
            self.reached.set()
            assert self.go.wait(240)


@pytest.fixture
def held(center):
    held = Held(center)
    yield held
    held.go.set()
    held.worker.stop()


def test_a_fusion_is_published_with_all_files_in_the_store(new_center, tiny, tmp_path):
    center = new_center
    known = center.run("first")

    assert known["state"] == "published"
    assert center.publications() == ["first"]
    for path, digest in published(known).items():
        with center.blobs.local_path(digest) as stored:
            assert sha256_of(stored) == digest, path
    packages = [(package, PartWeights()) for package in tiny.packages]
    fuse_local(tiny.base, packages, FusionSettings(), tmp_path / "local")
    for path in ("delta.safetensors", "unet/diffusion_pytorch_model.safetensors"):
        assert published(known)[path] == sha256_of(tmp_path / "local" / path)


def test_progress_is_told_block_by_block(center, tiny):
    known = center.run("first")

    total = len(tiny.layers.all_blocks()) + 1
    expected = [
        [number, total, f"fuse {block.name}"]
        for number, block in enumerate(tiny.layers.all_blocks())
    ]
    assert known["progress"][: total - 1] == expected
    assert known["progress"][-1] == [total - 1, total, "storing the model"]


def test_every_step_is_told_beforehand_and_each_blocks_fit_when_it_is_done(center, tiny):
    known = center.run("first")

    blocks = [block.name for block in tiny.layers.all_blocks()]
    last = ["writing the model", "storing the model"]
    assert known["planned"] == [[f"fuse {name}", name] for name in blocks] + [
        [name, ""] for name in last
    ]
    with center.blobs.local_path(published(known)["report.json"]) as path:
        expected = {f"fuse {item['block']}": item for item in read_json(path)["blocks"]}
    # The last step's end is the publication.
    assert known["found"] == {**expected, "writing the model": None}
    assert set(expected["fuse unet.mid_block"]["kept"]) == {"ada/c0@1", "ada/c1@1"}


def test_a_model_is_sampled_for_whoever_asks(center):
    plain = center.run("first")
    center.request("second", previews=True)

    known = center.run("second")

    added = published(known).keys() - published(plain).keys()
    assert added == {"previews/ada/c0.png", "previews/ada/c1.png"}
    with center.blobs.local_path(published(known)["README.md"]) as path:
        assert "![ada/c0@1](previews/ada/c0.png)" in path.read_text()
    last = ["writing the model", "sampling previews", "storing the model"]
    assert [name for name, _ in known["planned"][-3:]] == last
    assert [message for _, _, message in known["progress"][-3:]] == last
    assert known["found"]["sampling previews"] is None


def test_a_model_that_cannot_be_sampled_is_published_without_previews(
    new_center, used_jobs, tiny, tmp_path, caplog
):
    base = tmp_path / "base"
    shutil.copytree(tiny.base, base)
    shutil.rmtree(base / "scheduler")
    center = CenterFolder(tmp_path / "other")
    center.describe(base, tiny.layers, tiny.packages)
    center.request("first", previews=True)
    shutil.copyfile(used_jobs, center.folder / "jobs.db")

    known = center.run("first")

    assert known["state"] == "published"
    assert not [path for path in published(known) if path.startswith("previews")]
    assert "could not be sampled" in known["found"]["sampling previews"]["unsampled"]
    assert "fusion.unsampled id=first" in caplog.messages


def test_nothing_but_the_published_files_is_left(center):
    before = len(list((center.folder / "blobs").iterdir()))

    known = center.run("first")

    assert list(center.work.iterdir()) == []
    assert len(list((center.folder / "blobs").iterdir())) == before + len(
        set(published(known).values())
    )


def test_a_fusion_that_is_enqueued_twice_runs_once(center, held):
    held.worker.start()
    center.request("second")
    held.worker.enqueue(Job("second"))
    held.worker.enqueue(Job("second"))
    center.finish("first")
    center.finish("second")
    held.worker.enqueue(Job("second"))

    assert center.publications() == ["first", "second"]


def test_a_fusion_can_be_enqueued_from_an_event_loop(center, held):
    async def serve() -> None:
        await asyncio.to_thread(held.worker.start)
        center.request("second")
        held.worker.enqueue(Job("second"))
        await asyncio.to_thread(center.finish, "second")

    asyncio.run(serve())

    assert center.ledger.read("second")["state"] == "published"


def test_a_cancelled_fusion_stops_before_its_next_step_and_publishes_nothing(center, held):
    held.at = "fuse unet.mid_block"
    held.worker.start()
    assert held.reached.wait(240)
    center.ledger.update("first", state="cancelled")
    held.worker.cancel("first")
    held.go.set()

    known = center.finish("first")

    assert known["state"] == "cancelled"
    assert known["progress"][-1][2] == "fuse unet.mid_block"
    assert center.publications() == []


def test_a_fusion_cancelled_while_it_waits_never_starts(center, held):
    held.at = "fuse text_encoder"
    held.worker.start()
    assert held.reached.wait(240)
    center.request("second")
    held.worker.enqueue(Job("second"))
    center.ledger.update("second", state="cancelled")
    held.worker.cancel("second")
    held.at = ""
    held.go.set()
    center.finish("first")
    center.request("third")
    held.worker.enqueue(Job("third"))
    center.finish("third")

    assert center.ledger.read("second")["progress"] == []
    assert center.publications() == ["first", "third"]


def test_a_fusion_cancelled_at_the_last_moment_is_not_called_failed(center, held):
    held.at = "storing the model"
    held.worker.start()
    assert held.reached.wait(240)
    center.ledger.update("first", state="cancelled")
    held.go.set()

    known = center.finish("first")

    assert known["state"] == "cancelled"
    assert "error" not in known
    assert center.publications() == []


def test_a_request_that_cannot_be_met_fails_with_its_reason(center):
    center.request("first", prior_weight=0.5)

    known = center.run("first")

    assert known["state"] == "failed"
    code, message, hint = known["error"]
    assert code == "invalid_request"
    assert "prior moments of text_encoder" in message
    assert "prior weight to 0" in hint


def test_a_missing_file_fails_the_fusion_and_the_next_one_still_runs(center, tiny):
    digest = sha256_of(tiny.packages[0] / "moments/unet.mid_block.safetensors")
    lost = center.folder / "blobs" / digest
    kept = lost.read_bytes()
    lost.unlink()
    first = center.run("first")
    lost.write_bytes(kept)
    center.request("second")

    second = center.run("second")

    assert first["error"][0] == "not_found"
    told = "moments/unet.mid_block.safetensors of ada/c0@1 is not in the store any more"
    assert first["error"][1] == f"{told} (blob {digest[:12]}…)."
    assert second["state"] == "published"
    assert list(center.work.iterdir()) == []


def test_an_unexpected_error_fails_the_fusion_and_is_logged_once_with_its_id(center, caplog):
    def crash(message: str) -> None:
        if message == "fuse unet.mid_block":
            raise ZeroDivisionError("secret detail")

    worker = center.worker(crash)
    with caplog.at_level(logging.WARNING):
        worker.start()
        try:
            known = center.finish("first")
        finally:
            worker.stop()

    code, message, hint = known["error"]
    assert code == "job_failed"
    assert "ZeroDivisionError" in message
    assert "secret detail" not in message
    assert "first" in hint
    logged = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in logged] == ["fusion.crashed id=first"]


def test_a_stopped_worker_leaves_the_fusion_to_the_next_one(center, held):
    held.at = "fuse unet.mid_block"
    held.worker.start()
    assert held.reached.wait(240)
    stopping = threading.Thread(target=held.worker.stop)
    stopping.start()
    held.go.set()
    stopping.join(240)
    assert center.ledger.read("first")["state"] == "running"
    done = [message for _, _, message in center.ledger.read("first")["progress"]]

    known = center.run("first")

    assert known["state"] == "published"
    messages = [message for _, _, message in known["progress"]]
    assert messages[: len(done)] == done
    assert len(set(messages)) == len(messages)


def test_a_fusion_that_waited_without_a_worker_is_taken_up_at_the_start(center):
    center.request("second")

    center.run("second")

    assert center.publications() == ["first", "second"]


def test_blocks_whose_files_were_lost_are_fused_again(center, held, tmp_path):
    held.at = "fuse unet.up_blocks.3"
    held.worker.start()
    assert held.reached.wait(240)
    lost = center.work / "first" / "round-0/unet.mid_block.safetensors"
    lost.unlink()
    held.go.set()
    again = center.finish("first")
    center.request("second")
    held.worker.enqueue(Job("second"))

    assert published(again) == published(center.finish("second"))


def test_a_job_that_ended_unheard_fails_its_fusion(center):
    center.run("first")
    center.request("first")

    known = center.run("first")

    assert known["state"] == "failed"
    assert "job was lost" in known["error"][1]


def test_the_report_is_published_too(center):
    known = center.run("first")

    with center.blobs.local_path(published(known)["report.json"]) as path:
        report = read_json(path)
    assert report["base"]["name"] == "tiny"
    assert report["warnings"] == known["warnings"]
