"""`export`: a model folder in the formats of other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mos_client.cli.export import Precision
from mos_client.cli.fusions import Export
from mos_protocol.errors import EDGES
from tiny_base import write_tiny_base

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "center_node" / "fusion"))

from fused_models import weighted, write_concept


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    from mos_center.fusion.local import fuse_local
    from mos_center.fusion.settings import FusionSettings, Solver
    from mos_diffusion.base_folder import read_layer_map

    folder = tmp_path_factory.mktemp("model")
    base = write_tiny_base(folder / "base")
    write_concept(folder / "package", read_layer_map(base), 0)
    packages = weighted([folder / "package"])
    fuse_local(base, packages, FusionSettings(Solver.AVERAGE), folder / "duo-1")
    return folder / "duo-1"


def test_the_command_offers_what_the_engine_has():
    from mos_diffusion.formats import EXPORTS
    from mos_diffusion.formats.exporting import DTYPES

    assert {item.value for item in Export} == set(EXPORTS)
    assert {item.value for item in Precision} == set(DTYPES)


@pytest.mark.parametrize("name", list(Export))
def test_an_export_is_written_and_listed(run, model, tmp_path, name):
    outcome = run("export", model, "--format", name, "--out", tmp_path / "out", "--json")

    assert outcome.code == 0
    assert (outcome.json["format"], outcome.json["folder"]) == (name, str(tmp_path / "out"))
    paths = {item["path"]: item["size"] for item in outcome.json["files"]}
    assert {"embeddings/c0a.safetensors", "concepts.json"} < paths.keys()
    assert all((tmp_path / "out" / path).stat().st_size == size for path, size in paths.items())


def test_the_folder_is_named_after_model_and_format(run, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    outcome = run("export", model, "--format", "kohya-lora")

    assert outcome.code == 0
    assert (tmp_path / "duo-1-kohya-lora/kohya_lora.safetensors").is_file()
    assert "embeddings/c0b.safetensors" in outcome.out


def test_the_help_explains_every_format(run):
    outcome = run("export", "--help")

    assert all(f"{item.value}: " in outcome.out for item in Export)


def test_what_cannot_be_exported_is_an_error_without_a_trace(run, model, tmp_path):
    outcome = run("export", tmp_path, "--format", "single-file", "--out", tmp_path / "out")
    assert outcome.code == EDGES["invalid_request"].exit_code
    assert "no published model" in outcome.err
    assert "mos-client pull" in outcome.err

    outcome = run("export", model, "--format", "single-file", "--out", tmp_path)
    assert outcome.code == EDGES["conflict"].exit_code

    assert run("export", model, "--format", "gguf").code == 2
