"""`compose` and `storyboard`: scenes from files, and errors that name line and reason."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from mos_protocol.errors import EDGES
from mos_protocol.plain_yaml import read_plain
from PIL import Image
from tiny_base import write_tiny_base

INVALID = EDGES["invalid_request"].exit_code
SCENE = """\
prompt: a cat and a dog on the beach
size: [64, 96]
steps: 1
seeds: [3, 4]
regions:
  - id: cat
    box: [0, 0, 64, 48]
    prompt: a cat
  - id: dog
    mask: masks/dog.png
    prompt: a dog
"""
BOARD = """\
title: Two days
defaults: {size: [64, 64], steps: 1}
scenes:
  - title: At the beach!
    prompt: a cat on the beach
    seeds: [0, 1]
  - prompt: a dog
    size: [128, 64]
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("model"))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    mask = Image.new("L", (64, 96))
    mask.paste(255, (0, 40, 64, 96))
    (tmp_path / "masks").mkdir()
    mask.save(tmp_path / "masks/dog.png")
    path = tmp_path / "scene.yaml"
    path.write_text(SCENE)
    return path


def test_a_scene_becomes_one_picture_per_seed(run, model, scene, tmp_path):
    outcome = run("compose", model, scene, "--out", tmp_path / "pictures", "--json")
    assert outcome.code == 0
    assert outcome.json["seeds"] == [3, 4]
    paths = [Path(path) for path in outcome.json["pictures"]]
    assert [path.name for path in paths] == ["00-seed-3.png", "01-seed-4.png"]
    with Image.open(paths[0]) as picture:
        assert picture.size == (64, 96)


def test_seeds_of_the_command_line_replace_those_of_the_file(run, model, scene, tmp_path):
    out = tmp_path / "new/one.png"
    outcome = run("compose", model, scene, "--seed", 3, "--out", out)
    assert (outcome.code, outcome.out.strip()) == (0, str(out))
    with Image.open(out) as picture:
        assert picture.size == (64, 96)


def test_a_wrong_scene_is_refused_before_any_model_is_loaded(run, scene):
    scene.write_text(SCENE.replace("[0, 0, 64, 48]", "[0, 0, 700, 48]"))
    outcome = run("compose", "no-such-model", scene)
    assert outcome.code == INVALID
    assert "line 7: region `cat`: the box ends at 700, outside the picture's 64" in outcome.err


def test_what_only_the_model_tells_has_a_line_too(run, model, scene):
    scene.write_text(SCENE.replace("prompt: a dog", "prompt: a <rex1> <rex2>"))
    outcome = run("compose", model, scene)
    assert outcome.code == INVALID
    assert "line 11: region `dog`: the model doesn't know <rex1>" in outcome.err


def test_ten_megabytes_are_refused_unread(run, model, scene):
    scene.write_bytes(b"a: 1\n" * 2_000_000)
    outcome = run("compose", model, scene)
    assert outcome.code == INVALID
    assert "10,000,000 bytes; a scene has at most 262,144" in outcome.err


def test_a_scene_that_is_not_there_is_told(run, model, tmp_path):
    outcome = run("compose", model, tmp_path / "none.yaml")
    assert outcome.code == 1
    assert "none.yaml: No such file" in outcome.err


@pytest.mark.parametrize("wrong", ["depth=x", "pose", "pose="])
def test_an_adapter_has_a_kind_and_a_folder(run, model, scene, wrong):
    outcome = run("compose", model, scene, "--adapter", wrong)
    assert outcome.code == INVALID
    assert "the kinds are pose, sketch" in outcome.err


def test_pictures_are_png_only(run, model, scene, tmp_path):
    assert run("compose", model, scene, "--out", tmp_path / "a.jpg").code == INVALID


def test_a_storyboard_becomes_pictures_and_a_sheet(run, model, tmp_path):
    board, out = tmp_path / "board.yaml", tmp_path / "out"
    board.write_text(BOARD)
    outcome = run("storyboard", model, board, "--out", out, "--json")
    assert outcome.code == 0
    found = [Path(path).relative_to(out).as_posix() for path in outcome.json["pictures"]]
    assert found == [
        "01-at-the-beach/00-seed-0.png",
        "01-at-the-beach/01-seed-1.png",
        "02/00-seed-0.png",
    ]
    with Image.open(outcome.json["sheet"]) as sheet, Image.open(out / found[2]) as last:
        assert sheet.size[0] >= 2 * 64
        assert sheet.size[1] >= 2 * 64
        assert last.size == (128, 64)


def test_a_wrong_storyboard_names_line_and_scene(run, tmp_path):
    board = tmp_path / "board.yaml"
    board.write_text(BOARD.replace("[128, 64]", "[129, 64]"))
    outcome = run("storyboard", "no-such-model", board)
    assert outcome.code == INVALID
    assert "line 8: scene 2: the width 129 is no multiple of 8" in outcome.err


@pytest.mark.parametrize(("command", "text"), [("compose", SCENE), ("storyboard", BOARD)])
def test_the_schema_describes_the_files(run, command, text):
    schema = json.loads(run(command, "--schema").out)
    jsonschema.validate(read_plain(text).data, schema)
