"""`protect`: wrong calls end before a model is loaded; a right one ends with a folder of PNGs."""

from __future__ import annotations

from pathlib import Path

import pytest
from mos_protocol.errors import EDGES
from PIL import Image
from tiny_base import write_tiny_base

INVALID = EDGES["invalid_request"].exit_code


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def wanted(base, tmp_path) -> list:
    """A small protection that takes seconds."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        Image.new("RGB", (40, 32), (200, 40 * number, 30)).save(photos / f"{number}.jpg")
    where = ["--base", base, "--out", tmp_path / "out"]
    return ["protect", photos, *where, "--class", "dog", "--rounds", 1, "--budget", 2]


@pytest.mark.parametrize(
    ("position", "value", "told"),
    [
        (1, "nothing", "nothing is no folder"),
        (3, "tinyworld", "There is no base model 'tinyworld' here"),
        (7, "a dog", "not one lower-case word"),
        (7, "beachball", "tokens of this base model, not one"),
        (11, 100, "budget is 100. It must be from 1 to 32"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(run, wanted, position, value, told):
    wanted[position] = value
    outcome = run(*wanted)
    assert outcome.code == INVALID
    assert told in " ".join(outcome.err.split())


def test_an_output_folder_in_use_is_refused(run, wanted, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    outcome = run(*wanted)
    assert outcome.code == EDGES["conflict"].exit_code
    assert "Name another folder for the protected photos." in outcome.err


def test_protect_writes_every_photo_and_tells_how_much_it_changed(run, wanted, tmp_path):
    outcome = run(*wanted, "--json")
    assert outcome.code == 0
    assert (outcome.json["budget"], outcome.json["rounds"]) == (2, 1)
    files = [Path(picture["file"]) for picture in outcome.json["pictures"]]
    assert files == [tmp_path / "out" / "0.png", tmp_path / "out" / "1.png"]
    assert all(picture["largest_change"] == 2 for picture in outcome.json["pictures"])
    assert all(Image.open(file).size == (40, 32) for file in files)
    assert "protecting: 100 % round 1/1  loss" in outcome.err
    assert not (tmp_path / "out.work").exists()
