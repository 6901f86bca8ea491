"""`whose`: what a picture says of itself, and what a center knows of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_center import TOKEN, WHEN
from mos_diffusion.provenance import Provenance, save_picture
from mos_diffusion.watermark import embed
from mos_protocol.errors import EDGES
from PIL import Image

MARK = "0123456789ab"
NOT_FOUND = EDGES["not_found"].exit_code
VERSION = {
    "model": "demo",
    "version": 3,
    "base": "tiny",
    "concepts": ["ada/potter@1", "ben/cat@2"],
    "owner": "ada",
    "created_at": WHEN,
    "tombstoned_at": None,
}
KNOWN = {"mark": MARK, "models": [VERSION], "concepts": [], "bases": []}


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """A JPEG with a watermark, which lost its metadata."""
    path = tmp_path_factory.mktemp("marked") / "found.jpg"
    embed(Image.new("RGB", (512, 512), "teal"), MARK).save(path, quality=75)
    return path


@pytest.fixture
def sampled(tmp_path) -> Path:
    """A small PNG with metadata."""
    told = Provenance(model="demo@3", prompt="a <cat>", seeds=(4,), steps=20, guidance=7.5)
    save_picture(Image.new("RGB", (64, 64)), tmp_path / "sampled.png", told)
    return tmp_path / "sampled.png"


def test_the_center_tells_what_the_mark_means(ask, center, picture):
    center.marks[MARK] = KNOWN
    outcome = ask("whose", picture)
    assert outcome.code == 0
    for told in (MARK, "demo@3", "ada/potter@1, ben/cat@2", "none of ours"):
        assert told in outcome.out
    # It is told the mark, and nothing of the picture.
    assert [(method, path) for method, path, _, _ in center.requests] == [
        ("GET", f"/v1/marks/{MARK}")
    ]
    assert center.requests[0][3] == b""


def test_a_concept_and_a_withdrawn_version_are_told(ask, center, picture):
    center.marks[MARK] = {
        "mark": MARK,
        "models": [VERSION | {"tombstoned_at": WHEN}],
        "concepts": [
            {"name": "ada/potter", "version": 1, "trigger": "<potter>", "state": "approved"}
        ],
        "bases": ["sd15"],
    }
    outcome = ask("whose", picture)
    assert "demo@3 (withdrawn)" in outcome.out
    assert "ada/potter@1 (<potter>, approved)" in outcome.out
    assert "sd15" in outcome.out


def test_a_mark_that_the_center_does_not_know_is_still_told(ask, picture):
    outcome = ask("whose", picture)
    assert outcome.code == 0
    assert MARK in outcome.out
    assert "the center knows none" in outcome.out


def test_without_a_center_the_picture_itself_is_told(run, picture, sampled):
    outcome = run("whose", picture, sampled, "--json")
    assert outcome.code == 0
    jpeg, png = outcome.json
    assert (jpeg["mark"], jpeg["center"], jpeg["provenance"]) == (MARK, None, None)
    assert png["mark"] is None
    assert png["provenance"] | {"tool": ""} == {
        "format": "mos-provenance/1",
        "source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        "tool": "",
        "model": "demo@3",
        "concepts": [],
        "prompt": "a <cat>",
        "regions": [],
        "seeds": [4],
        "steps": 20,
        "guidance": 7.5,
        "width": 64,
        "height": 64,
    }


def test_offline_asks_nobody(run, center, picture):
    outcome = run("--center", center.url, "--token", TOKEN, "whose", "--offline", picture)
    assert outcome.code == 0
    assert center.requests == []
    assert "center" not in outcome.out


def test_a_picture_that_says_nothing_has_an_exit_code(run, picture, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "plain.png")
    outcome = run("whose", picture, tmp_path / "plain.png")
    assert outcome.code == NOT_FOUND
    assert "none that can be read" in outcome.out


def test_what_is_no_picture_is_said(run, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    outcome = run("whose", tmp_path / "a.png")
    assert outcome.code == EDGES["invalid_request"].exit_code
    assert "can't be read: no picture" in outcome.err
