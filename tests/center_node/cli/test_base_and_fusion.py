"""The commands that run a model, on a tiny one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from concept_packages import edit_tensors, reseal, write_package
from mos_center.cli.app import app
from mos_center.domain.models import BaseRecord
from mos_center.opening import opened
from mos_center.settings import Settings
from mos_diffusion.base_model import read_layer_map
from mos_protocol.layer_map import LayerMap, Part
from mos_protocol.manifest import CONCEPT_FILE
from mos_protocol.moments import check_moments, moments_path
from PIL import Image
from safetensors.numpy import load_file
from tiny_base import write_tiny_base
from tiny_package import coded_moment
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
                check_moments(path, base.layer_map.block(block), block)
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


def test_a_prior_covers_the_layers_of_imported_loras_when_asked_for(
    model: Path, tmp_path: Path
) -> None:
    base = add(model, tmp_path / "data", "--prior-samples", "1", "--prior-layers", "all")

    assert base.layer_map.extra_blocks
    assert base.prior.keys() == {block.name for block in base.layer_map.all_blocks()}


def test_a_base_can_be_registered_without_a_prior(model: Path, tmp_path: Path) -> None:
    base = add(model, tmp_path / "data", "--no-prior")

    assert base.prior == {}
    layers = {layer.name for layer in base.layer_map.layers()}
    assert base.statistics.keys() == layers | {"text_encoder.embeddings"}


def test_what_weights_and_inputs_measure_is_kept(model: Path, tmp_path: Path) -> None:
    base = add(model, tmp_path / "data", "--prior-samples", "1")

    inputs = {item.name: item.width for block in base.layer_map.blocks for item in block.inputs}
    for name, width in inputs.items():
        assert base.statistics[name]["energy"] > 0
        assert 1 <= base.statistics[name]["directions"] <= width
    assert all(base.statistics[layer.name]["norm"] > 0 for layer in base.layer_map.layers())


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--fuse-method", "none", "--solver", "lbfgs"),
            "lbfgs belongs to the fuse method gradient",
        ),
        (("--fuse-method", "custom-diffusion"), "needs the prior moments of base"),
        (("--fuse-method", "magic"), "magic"),
    ],
)
def test_a_fuse_method_that_does_not_fit_is_refused_plainly(
    model: Path, packages: list[Path], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    arguments = ["fuse-local", "--base", str(model), "--out", str(tmp_path / "out")]

    result = run(app, [*arguments, "--concept", str(packages[0]), *options])

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_every_fuse_method_makes_another_model(
    model: Path, packages: list[Path], tmp_path: Path
) -> None:
    concepts = ("--concept", packages[0], "--concept", packages[1])
    chosen = {
        "gradient": (),
        "zero": ("--fuse-method", "gradient", "--ridge-towards", "zero", "--ridge", "1"),
        "average": ("--fuse-method", "weight-average"),
        "sum": ("--fuse-method", "weight-average", "--solver", "sum"),
        "none": ("--fuse-method", "none"),
    }

    told = {
        name: fuse(model, tmp_path / name, *concepts, *options) for name, options in chosen.items()
    }

    weights = {
        (tmp_path / name / "unet/diffusion_pytorch_model.safetensors").read_bytes()
        for name in chosen
    }
    assert len(weights) == len(chosen)
    assert "ada/potter loses what it changes" in told["none"]


def _make_solvable(package: Path, layers: LayerMap) -> None:
    """Give the random package small weights and identity matrices for moments."""

    def to_identity(tensors: dict[str, np.ndarray]) -> None:
        for name in [name for name in tensors if name.endswith(".diagonal")]:
            identity = np.eye(len(tensors[name]))
            tensors.update(coded_moment(name.removesuffix(".diagonal"), identity))

    def shrink(tensors: dict[str, np.ndarray]) -> None:
        for name in tensors:
            tensors[name] = tensors[name] * np.float32(0.01)

    for block in layers.blocks:
        edit_tensors(package / moments_path(block.name), to_identity)
    edit_tensors(package / CONCEPT_FILE, shrink)
    reseal(package)


@pytest.fixture(scope="module")
def packages(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three packages for the model, with a word each."""
    folder, layers = tmp_path_factory.mktemp("packages"), read_layer_map(model)
    return [
        write_package(folder / name, layers, concept=f"ada/{name}", words=(f"<{name}>",), seed=seed)
        for seed, name in enumerate(("potter", "cat", "dog"))
    ]


def fuse(model: Path, out: Path, *options: object) -> str:
    """Run `fuse-local` and return what it prints."""
    arguments = ["fuse-local", "--base", model, "--out", out, *options]
    result = run(app, [str(item) for item in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_fused_model_is_sampled_on_request_and_complete_without(
    model: Path, packages: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    shutil.rmtree(broken / "scheduler")

    told = fuse(model, tmp_path / "out", "--concept", packages[0], "--previews")
    warned = fuse(broken, tmp_path / "less", "--concept", packages[0], "--previews")

    with Image.open(tmp_path / "out/previews/ada/potter.png") as sheet:
        assert sheet.size == (4 * 32, 32)
    assert "could not be sampled" not in told
    assert "warning: The model could not be sampled" in warned
    assert (tmp_path / "less/model_index.json").is_file()


def test_with_sums_a_fusion_with_one_concept_less_is_the_fresh_one(
    model: Path, packages: list[Path], tmp_path: Path
) -> None:
    potter, cat, dog = packages
    two = ("--concept", potter, "--concept", cat)
    sums = ("--sums", tmp_path / "sums")
    first = fuse(model, tmp_path / "all", *two, "--concept", dog, *sums)

    again = fuse(model, tmp_path / "less", *two, *sums, "--withdrawn", dog)
    fuse(model, tmp_path / "fresh", *two)

    assert "sums held" not in first
    assert "the sums held 2 of them" in again
    less, fresh = (_deltas(tmp_path / name) for name in ("less", "fresh"))
    assert less.keys() == fresh.keys()
    for name, delta in fresh.items():
        np.testing.assert_allclose(less[name], delta, rtol=0, atol=1e-6 * np.abs(delta).max())


def test_a_weight_of_nothing_leaves_a_concept_out_of_a_part(
    model: Path, packages: list[Path], tmp_path: Path
) -> None:
    weights = "text_encoder=0,cross_kv=1,spatial=0"

    fuse(model, tmp_path / "out", "--concept", f"{packages[0]}:{weights}")

    parts = {layer.name: layer.part for layer in read_layer_map(model).layers()}
    changed = {parts[name] for name, delta in _deltas(tmp_path / "out").items() if delta.any()}
    assert changed == {Part.CROSS_KV}


def test_a_model_is_written_in_other_formats_when_asked_for(
    model: Path, packages: list[Path], tmp_path: Path
) -> None:
    formats = ("--export", "kohya-lora", "--export", "diffusers-lora")

    fuse(model, tmp_path / "out", "--concept", packages[0], "--solver", "sum", *formats)

    written = {path.name for path in (tmp_path / "out" / "exports").iterdir()}
    assert written == {"kohya-lora", "diffusers-lora"}
    assert all(any((tmp_path / "out" / "exports" / name).iterdir()) for name in written)


def test_steps_and_rounds_decide_the_result(
    model: Path, packages: list[Path], tmp_path: Path
) -> None:
    concept = ("--concept", packages[0], "--concept", packages[1], "--solver", "lbfgs")
    fuse(model, tmp_path / "few", *concept, "--lbfgs-steps", "1")
    fuse(model, tmp_path / "many", *concept)

    report = json.loads((tmp_path / "few" / "report.json").read_text())

    assert report["settings"]["lbfgs_steps"] == dict.fromkeys(Part, 1)
    few, many = (_deltas(tmp_path / name) for name in ("few", "many"))
    assert any(not np.allclose(few[name], many[name], rtol=1e-3) for name in many)


def _deltas(folder: Path) -> dict[str, np.ndarray]:
    """The change (d_out, d_in) of every layer in a published folder."""
    factors = load_file(folder / "delta.safetensors")
    names = [name.removesuffix(".up") for name in factors if name.endswith(".up")]
    return {name: factors[f"{name}.up"] @ factors[f"{name}.down"] for name in names}
