from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from center_steps import send_files, store, submit_folder
from concept_packages import write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.jobs import Job
from mos_center.domain.models import (
    BaseRecord,
    Export,
    Fusion,
    PublishedFile,
    Solver,
    Submission,
)
from mos_center.domain.policy import Review
from mos_center.domain.states import FusionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_ledger import FusionLedgerService
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.settings import Settings
from mos_protocol.errors import Conflict, InvalidRequest, JobFailed, NotFound, Unavailable
from mos_protocol.layer_map import Part
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights


@pytest.fixture
def ledger(data: OpenedData) -> FusionLedgerService:
    return data.ledger()


@pytest.fixture
def fusion(center: Center, submit: Callable[..., Submission]) -> Fusion:
    submit()
    request = FusionRequest(
        "demo",
        "small",
        [WantedConcept("ada/potter", 1, PartWeights.uniform(0.5))],
        solver=Solver.LBFGS,
        ridge={Part.SPATIAL: 1e-2},
        lbfgs_steps={Part.SPATIAL: 9},
        refine_rounds=1,
        exports=[Export.SINGLE_FILE],
        previews=False,
    )
    return center.fusions.request(request, caller=LOCAL)[0]


@pytest.fixture
def files(data: OpenedData) -> list[PublishedFile]:
    """Two files of a model, already in the store."""
    return [store(data, "README.md", b"# demo"), store(data, "unet/config.json", b"{}")]


def test_a_plan_names_everything_a_worker_reads(
    ledger: FusionLedgerService, fusion: Fusion, data: OpenedData, tmp_path: Path
) -> None:
    plan = ledger.plan(fusion.id)

    assert (plan.fusion_id, plan.model, plan.solver) == (fusion.id, "demo", "lbfgs")
    assert plan.base.path == tmp_path
    assert plan.ridge == {Part.TEXT_ENCODER: 1e-3, Part.CROSS_KV: 1e-3, Part.SPATIAL: 1e-2}
    assert plan.lbfgs_steps == {Part.TEXT_ENCODER: 500, Part.CROSS_KV: 500, Part.SPATIAL: 9}
    assert (plan.refine_rounds, plan.exports) == (1, (Export.SINGLE_FILE,))
    assert plan.previews is False
    (concept,) = plan.concepts
    assert (concept.ref, concept.weights) == ("ada/potter@1", PartWeights.uniform(0.5))
    assert concept.files.keys() == {entry.path for entry in concept.manifest.files}
    assert all(data.blobs.exists(digest) for digest in concept.files.values())
    with pytest.raises(NotFound):
        ledger.plan("no-such-fusion")


def test_a_package_is_at_hand_as_long_as_its_files_are_stored(
    ledger: FusionLedgerService, submit: Callable[..., Submission], data: OpenedData
) -> None:
    submission = submit(concept="bob/cat")

    package = ledger.package(submission.manifest_digest)

    assert package is not None
    assert (package.ref, package.weights) == ("bob/cat@1", PartWeights())
    assert package.files == {e.path: e.sha256 for e in submission.manifest.files}
    assert ledger.package(Digest("f" * 64)) is None
    data.blobs.delete(package.files["concept.safetensors"])
    assert ledger.package(submission.manifest_digest) is None


def test_a_package_that_was_rejected_or_never_committed_is_not_at_hand(
    ledger: FusionLedgerService, base: BaseRecord, settings: Settings, tmp_path: Path
) -> None:
    manual = OpenedData(settings.model_copy(update={"review": Review.MANUAL})).center()
    said = {"licence": "CC0-1.0", "consent": "given"}
    first = write_package(tmp_path / "one", concept="bob/cat", seed=1, **said)
    rejected = submit_folder(manual, first)
    manual.submissions.reject(rejected.id, "no consent", LOCAL)
    sent = send_files(manual, write_package(tmp_path / "two", concept="bob/dog", seed=2, **said))

    assert ledger.package(rejected.manifest_digest) is None
    assert ledger.package(sent.manifest_digest) is None


def test_a_fusion_that_runs_shows_its_progress(
    ledger: FusionLedgerService, fusion: Fusion, center: Center
) -> None:
    ledger.progress(fusion.id, 1, 3, "too early")
    assert center.fusions.get(fusion.id, caller=LOCAL).progress.done == 0
    ledger.started(fusion.id)
    ledger.started(fusion.id)
    ledger.progress(fusion.id, 1, 3, "unet.mid_block")

    shown = center.fusions.get(fusion.id, caller=LOCAL)

    assert shown.state is FusionState.RUNNING
    assert (shown.progress.done, shown.progress.total) == (1, 3)
    assert ledger.unfinished() == (Job(fusion.id),)


def test_publishing_makes_one_version_however_often_it_is_called(
    ledger: FusionLedgerService, fusion: Fusion, center: Center, files: list[PublishedFile]
) -> None:
    ledger.started(fusion.id)
    versions: list[int] = []
    threads = [
        threading.Thread(target=lambda: versions.append(ledger.publish(fusion.id, files, {})))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert versions == [1] * 5
    (version,) = center.models.versions("demo", caller=LOCAL)
    assert version.files == tuple(files)
    assert version.concepts[0].words == ("<potter1>", "<potter2>")
    assert version.build == fusion.build
    published = center.fusions.get(fusion.id, caller=LOCAL)
    assert (published.state, published.model_version) == (FusionState.PUBLISHED, 1)
    assert ledger.unfinished() == ()


def test_publishing_without_the_files_in_the_store_publishes_nothing(
    ledger: FusionLedgerService, fusion: Fusion, center: Center, files: list[PublishedFile]
) -> None:
    ledger.started(fusion.id)
    lost = PublishedFile("model.safetensors", 3, Digest("9" * 64))

    with pytest.raises(Unavailable, match=r"first model\.safetensors"):
        ledger.publish(fusion.id, [*files, lost], {})

    assert center.fusions.get(fusion.id, caller=LOCAL).state is FusionState.RUNNING
    with pytest.raises(NotFound):
        center.models.versions("demo", caller=LOCAL)
    assert ledger.publish(fusion.id, files, {}) == 1


def test_a_cancelled_fusion_is_neither_started_nor_published(
    ledger: FusionLedgerService, fusion: Fusion, center: Center, files: list[PublishedFile]
) -> None:
    ledger.started(fusion.id)
    assert not ledger.is_cancelled(fusion.id)
    center.fusions.cancel(fusion.id, LOCAL)

    assert ledger.is_cancelled(fusion.id)
    with pytest.raises(Conflict, match="cancelled"):
        ledger.publish(fusion.id, files, {})
    with pytest.raises(Conflict, match="cancelled"):
        ledger.started(fusion.id)
    ledger.failed(fusion.id, JobFailed("late"))
    assert center.fusions.get(fusion.id, caller=LOCAL).state is FusionState.CANCELLED


def test_a_failure_is_kept_with_its_cause_and_hint(
    ledger: FusionLedgerService, fusion: Fusion, center: Center
) -> None:
    ledger.failed(fusion.id, JobFailed("The moments are singular.", hint="Raise the ridge."))

    failed = center.fusions.get(fusion.id, caller=LOCAL)

    assert failed.state is FusionState.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.hint) == ("job_failed", "Raise the ridge.")


def test_a_version_without_files_is_not_published(
    ledger: FusionLedgerService, fusion: Fusion
) -> None:
    ledger.started(fusion.id)

    with pytest.raises(InvalidRequest, match="no files"):
        ledger.publish(fusion.id, [], {})
