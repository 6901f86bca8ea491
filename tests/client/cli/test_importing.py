"""`import`: wrong calls end before a model is loaded; a right one ends with a package."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_loras import draw_lora, write_kohya
from mos_diffusion.base_model import layer_map, load_base
from mos_protocol.errors import EDGES
from mos_protocol.manifest import read_manifest
from tiny_base import write_tiny_base

INVALID = EDGES["invalid_request"].exit_code


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def layers(base):
    return layer_map(load_base(base))


@pytest.fixture(scope="module")
def lora(base, layers, tmp_path_factory) -> Path:
    factors = draw_lora(load_base(base), layers.layers(), lambda name: "attn2.to_" in name, rank=2)
    return write_kohya(tmp_path_factory.mktemp("lora") / "cat.safetensors", factors, alpha=1.0)


@pytest.fixture
def wanted(lora, base, tmp_path) -> list:
    """A small import that takes seconds."""
    what = ["--base", base, "--concept", "ada/cat", "--word", "<ohwx> <cat>"]
    how = ["--trigger", "red cat", "--moments", "paper", "--device", "cpu"]
    return ["import", lora, *what, *how, "--out", tmp_path / "package"]


def changed(arguments: list, option: str, value: object) -> list:
    position = arguments.index(option) + 1
    return [*arguments[:position], value, *arguments[position + 1 :]]


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--concept", "cat", "owner/name"),
        ("--word", "cat", "angle brackets"),
        ("--base", "tinyworld", "There is no base model 'tinyworld' here."),
        ("--trigger", "a red cat", "has 3 tokens, but there are 2 words"),
        ("--trigger", "red", "What kind of thing"),
        ("--moments", "data", "needs pictures"),
    ],
)
def test_a_wrong_value_is_refused_with_a_hint(run, wanted, option, value, told, tmp_path):
    outcome = run(*changed(wanted, option, value))
    assert outcome.code == INVALID
    assert told in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("option", ["--embedding", "--images"])
def test_a_place_where_nothing_is_is_refused(run, wanted, option, tmp_path):
    outcome = run(*wanted, option, tmp_path / "nothing")
    assert outcome.code == INVALID
    assert "nothing is no" in outcome.err


def test_a_file_that_is_not_there_is_refused(run, wanted, tmp_path):
    wanted[1] = tmp_path / "nothing.safetensors"
    assert "nothing.safetensors is no file" in run(*wanted).err


def test_an_upload_needs_a_center(run, wanted):
    outcome = run(*wanted, "--upload")
    assert outcome.code == INVALID
    assert "No center is named to upload to." in outcome.err


def test_a_pickle_is_refused_without_a_trace(run, wanted, tmp_path):
    wanted[1] = tmp_path / "cat.safetensors"
    wanted[1].write_bytes(b"\x80\x04K\x01.")
    outcome = run(*wanted)
    assert outcome.code == INVALID
    assert "is a pickle" in outcome.err


def test_import_makes_a_package_that_can_be_checked_and_shown(run, wanted, base, tmp_path):
    outcome = run(*wanted, "--licence", "CC0")
    assert outcome.code == 0, outcome.err
    assert "ada/cat is in" in outcome.out
    assert "mos-client submit" in outcome.out
    assert run("package", "check", tmp_path / "package", "--base", base).code == 0
    shown = run("package", "show", tmp_path / "package")
    assert "imported, rank 2" in shown.out
    assert "cat.safetensors" in shown.out
    assert "trigger 'red cat'" in shown.out


def test_json_says_what_became_of_the_file(run, wanted, tmp_path):
    outcome = run(*wanted, "--json")
    assert outcome.json["package"] == str(tmp_path / "package")
    assert (outcome.json["rank"], outcome.json["words_from"]) == (2, "trigger")
    assert outcome.json["skipped"] == 0


def test_import_with_upload_ends_with_a_concept_at_the_center(
    ask, center, wanted, layers, tmp_path
):
    center.layer_map = layers
    outcome = ask(*wanted, "--upload")
    assert outcome.code == 0, outcome.err
    assert read_manifest(tmp_path / "package").base.name == "tiny"
    assert "ada/cat@1 is at the center and can be fused." in outcome.out
