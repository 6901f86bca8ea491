"""The commands that run a model, on a tiny one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from concept_packages import edit_tensors, reseal, write_package
from mos_center.cli.app import app
from mos_center.domain.models import BaseRecord
from mos_center.opening import opened
from mos_center.settings import Settings
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import CONCEPT_FILE
from mos_protocol.tensors import check_tensors, moment_shapes, moments_path, read_header
from PIL import Image
from tiny_base import write_tiny_base
from typer.testing import CliRunner

run = CliRunner(env={"COLUMNS": "200"}).invoke


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("tiny") / "model")


def add(model: Path, data: Path, *options: str) -> BaseRecord:
    """Register the model as tiny, and check the prior's files if there are any."""
    result = run(app, ["base", "add", "tiny", str(model), "--data", str(data), *options])
    assert result.exit_code == 0, result.output
    with opened(Settings(data=data)) as found:
        base = found.center().bases.get("tiny")
        assert base.path == model
        for block, digest in base.prior.items():
            with found.blobs.local_path(digest) as path:
                shapes = moment_shapes(base.layer_map.block(block))
                check_tensors(read_header(path, block), shapes, set(shapes), block)
    return base


def test_a_base_is_registered_with_a_prior_from_its_own_samples(
    model: Path, tmp_path: Path
) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("a photo of a cat\n\na photo of a dog\n")

    base = add(model, tmp_path / "data", "--prior-samples", "1", "--prior-captions", str(captions))

    assert len(base.layer_map.cross_attention) == 16
    assert base.prior.keys() == {block.name for block in base.layer_map.blocks}
    assert "tiny" in run(app, ["base", "list", "--data", str(tmp_path / "data")]).output


def test_a_base_is_registered_with_a_prior_from_pictures(model: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (50, 40), "red").save(pictures / "red.png")
    (pictures / "red.txt").write_text("a red photo\n")
    Image.new("L", (32, 32)).save(pictures / "uncaptioned.jpg")

    base = add(model, tmp_path / "data", "--prior-images", str(pictures))

    assert base.prior.keys() == {block.name for block in base.layer_map.blocks}


def test_a_base_can_be_registered_without_a_prior(model: Path, tmp_path: Path) -> None:
    assert add(model, tmp_path / "data", "--no-prior").prior == {}


@pytest.mark.parametrize(
    ("folder", "message"), [("nowhere", "neither a folder nor"), ("empty", "no base model")]
)
def test_what_is_no_model_is_refused_plainly(tmp_path: Path, folder: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    data = str(tmp_path / "data")

    result = run(app, ["base", "add", "tiny", str(tmp_path / folder), "--data", data])

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_packages_are_fused_without_a_server(model: Path, tmp_path: Path) -> None:
    layers = add(model, tmp_path / "data", "--no-prior").layer_map
    package = write_package(tmp_path / "package", layers)
    _make_solvable(package, layers)
    arguments = ["fuse-local", "--base", str(model), "--out", str(tmp_path / "out")]

    result = run(app, [*arguments, "--concept", f"{package}:0.5", "--ridge", "spatial=0.01"])

    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "model_index.json").is_file()
    again = run(app, [*arguments, "--concept", str(package)])
    assert again.exit_code == 4
    assert "is there already" in again.stderr


def _make_solvable(package: Path, layers: LayerMap) -> None:
    """Give the random package small weights and identity matrices for moments."""

    def to_identity(tensors: dict[str, np.ndarray]) -> None:
        for name, packed in tensors.items():
            width = int((np.sqrt(8 * len(packed) + 1) - 1) / 2)
            rows, columns = np.triu_indices(width)
            tensors[name] = (rows == columns).astype(np.float32)

    def shrink(tensors: dict[str, np.ndarray]) -> None:
        for name in tensors:
            tensors[name] = tensors[name] * np.float32(0.01)

    for block in layers.blocks:
        edit_tensors(package / moments_path(block.name), to_identity)
    edit_tensors(package / CONCEPT_FILE, shrink)
    reseal(package)
