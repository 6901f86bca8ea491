"""`sample`: pictures from a folder or from a model at the center."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_center import TOKEN
from mos_client.cli.invocation import Invocation
from mos_client.cli.sampling import model_folder
from mos_diffusion.provenance import read_provenance
from mos_protocol.errors import EDGES
from PIL import Image
from tiny_base import write_tiny_base

INVALID = EDGES["invalid_request"].exit_code


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("model"))


def test_several_seeds_make_a_grid(run, model, tmp_path):
    out = tmp_path / "new/grid.png"
    seeds = ["--seed", 1, "--seed", 2, "--seed", 3]
    outcome = run("sample", model, "a dog", *seeds, "--out", out, "--steps", 1)
    assert (outcome.code, outcome.out.strip()) == (0, str(out))
    with Image.open(out) as picture:
        assert picture.size == (64, 64)


def test_into_a_folder_each_seed_makes_its_own_picture(run, model, tmp_path):
    seeds = ["--seed", 7, "--seed", 8]
    out = tmp_path / "pictures"
    outcome = run("sample", model, "a dog", *seeds, "--out", out, "--steps", 1, "--json")
    assert [Path(path).name for path in outcome.json["pictures"]] == [
        "00-seed-7.png",
        "01-seed-8.png",
    ]
    assert all(Path(path).is_file() for path in outcome.json["pictures"])


def test_a_model_that_is_not_here_needs_a_center(run):
    outcome = run("sample", "demo", "a dog")
    assert outcome.code == INVALID
    assert "--center" in outcome.err


def test_a_model_at_the_center_is_fetched_once(center, tmp_path):
    center.add_model("demo", {"model_index.json": b"{}"})
    call = Invocation(center.url, TOKEN)
    folder = model_folder(call, "demo", cache=tmp_path)
    assert (folder / "model_index.json").read_bytes() == b"{}"
    assert model_folder(call, "demo@1", cache=tmp_path) == folder
    assert sum("/files/" in path for _, path, _, _ in center.requests) == 1


def test_pictures_are_png_only(run, model, tmp_path):
    assert run("sample", model, "a dog", "--out", tmp_path / "a.jpg").code == INVALID


def test_pictures_say_where_they_come_from(run, model, tmp_path):
    out = tmp_path / "pictures"
    options = ["--seed", 7, "--seed", 8, "--out", out, "--steps", 1, "--guidance", 2]
    assert run("sample", model, "a dog", *options, "--negative", "blurry").code == 0
    told = read_provenance(out / "01-seed-8.png")
    assert (told.model, told.prompt, told.negative_prompt) == (model.name, "a dog", "blurry")
    assert (told.seeds, told.steps, told.guidance) == ((8,), 1, 2.0)
    assert (told.width, told.height) == (32, 32)


def test_prompts_stay_out_of_the_metadata_when_told(run, model, tmp_path):
    out = tmp_path / "a.png"
    private = ["--no-prompt-in-metadata", "--out", out, "--steps", 1]
    assert run("sample", model, "a secret", *private, "--seed", 1, "--seed", 2).code == 0
    assert b"secret" not in out.read_bytes()
    assert read_provenance(out).seeds == (1, 2)
