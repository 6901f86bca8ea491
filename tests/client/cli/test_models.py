"""`models` and `pull`."""

from __future__ import annotations

import pytest
from mos_protocol.errors import EDGES

FILES = {"model_index.json": b"{}", "unet/weights.safetensors": b"\0" * 3000}


@pytest.fixture(autouse=True)
def published(center) -> dict:
    return center.add_model("demo", FILES)


def test_models_are_listed_with_their_concepts(ask):
    out = ask("models").out
    assert "demo@1" in out
    assert "ada/ball@1" in out


def test_one_version_is_shown_with_its_files(ask):
    out = ask("models", "demo").out
    assert "unet/weights.safetensors" in out
    assert "3.0 kB" in out


def test_models_as_json_are_complete(ask, published):
    assert ask("models", "demo@1", "--json").json["files"] == published["files"]


@pytest.mark.parametrize("ref", ["demo", "demo@1", "demo@latest"])
def test_pull_makes_the_folder_and_says_what_to_try(ask, tmp_path, ref):
    out = tmp_path / "models/demo"
    outcome = ask("pull", ref, "--out", out)
    assert outcome.code == 0
    assert (out / "unet/weights.safetensors").read_bytes() == FILES["unet/weights.safetensors"]
    assert f'mos-client sample {out} "a photo of a <ball1> <ball2>"' in outcome.out
    assert "fetching: 100 %" in outcome.err


def test_pull_of_what_is_not_there_leaves_nothing(ask, tmp_path):
    outcome = ask("pull", "demo@9", "--out", tmp_path / "demo")
    assert outcome.code == EDGES["not_found"].exit_code
    assert list(tmp_path.iterdir()) == []


def test_pull_into_a_folder_of_the_users_is_a_conflict(ask, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    outcome = ask("pull", "demo", "--out", tmp_path)
    assert outcome.code == EDGES["conflict"].exit_code
    assert "thesis.tex" in outcome.err


@pytest.mark.parametrize("field", [{"model": "../../evil"}, {"build": "../x"}, {"version": 0}])
def test_a_version_whose_name_could_leave_a_folder_is_not_understood(
    ask, published, tmp_path, field
):
    published.update(field)
    outcome = ask("pull", "demo@1", "--out", tmp_path / "demo")
    assert outcome.code == EDGES["internal"].exit_code
    assert list(tmp_path.iterdir()) == []
