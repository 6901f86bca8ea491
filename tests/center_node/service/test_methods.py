"""Concepts of every method come to the center, and a request says what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from center_steps import store, submit_folder
from mos_center.domain.access import LOCAL
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_findings import FindingKind
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import MANIFEST_FILE
from mos_protocol.methods import METHODS, Method
from tiny_package import as_method, tiny_layer_map, write_package


@pytest.fixture
def tiny(center: Center, tmp_path: Path) -> Center:
    """A center whose base has every part, keys and values included."""
    center.bases.add("tiny", tmp_path, tiny_layer_map(), {})
    return center


def package(folder: Path, method: Method) -> Path:
    write_package(folder, concept=f"ada/{method}")
    as_method(folder, method)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_a_package_of_every_method_is_approved(tiny: Center, tmp_path: Path, method) -> None:
    found = submit_folder(tiny, package(tmp_path / method, method))

    assert (found.state, found.reason) == (SubmissionState.APPROVED, "")
    kept = tiny.submissions.get(found.id, caller=LOCAL).manifest
    assert (kept.method, kept.rank) == (method, found.manifest.rank)


def test_a_package_that_claims_another_method_is_refused(tiny: Center, tmp_path: Path) -> None:
    folder = package(tmp_path / "lora", "lora")
    text = (folder / MANIFEST_FILE).read_text()
    (folder / MANIFEST_FILE).write_text(text.replace('"lora"', '"p-plus"', 1))

    with pytest.raises(InvalidPackage, match="rank must be from 0 to 0 with method p-plus"):
        submit_folder(tiny, folder)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("p-plus", "no text encoder or cross kv or spatial part: p-plus tuned embeddings alone"),
        ("custom-diffusion", "custom-diffusion tuned the keys and values of cross-attention alone"),
    ],
)
def test_a_request_warns_of_weights_where_a_method_changes_nothing(
    tiny: Center, tmp_path: Path, method: Method, told: str
) -> None:
    submit_folder(tiny, package(tmp_path / method, method))

    check = tiny.fusions.check(
        FusionRequest("demo", "tiny", [WantedConcept(f"ada/{method}")]), caller=LOCAL
    )

    warnings = [item.message for item in check.findings if item.kind is FindingKind.WARNING]
    assert any(told in message for message in warnings)


@pytest.mark.parametrize(
    ("method", "trigger"), [("lora", "<ball1>"), ("custom-diffusion", "<ball1> ball")]
)
def test_a_published_version_says_how_prompts_name_its_concepts(
    tiny: Center, data: OpenedData, tmp_path: Path, method: Method, trigger: str
) -> None:
    submit_folder(tiny, package(tmp_path / method, method))
    wanted = [WantedConcept(f"ada/{method}")]
    fusion, _ = tiny.fusions.request(FusionRequest("demo", "tiny", wanted), caller=LOCAL)
    data.ledger().started(fusion.id)
    data.ledger().publish(fusion.id, [store(data, "weights.bin", b"fused")], {})

    (concept,) = tiny.models.get("demo", "1", caller=LOCAL).concepts

    assert (concept.words, concept.trigger) == (("<ball1>",), trigger)
