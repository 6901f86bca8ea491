"""`composition`: scenes that a center draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mos_protocol.errors import EDGES

SCENE = "prompt: a cat on the beach\nsize: [64, 64]\nseeds: [7, 8]\n"
RUNNING = {"state": "running", "progress": {"done": 10, "total": 20, "message": "drawing"}}
DONE = {"state": "done", "pictures": [0, 1]}
FAILED = {
    "state": "failed",
    "error": {"code": "gone", "message": "A concept was withdrawn.", "hint": "Fuse it anew."},
}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.yaml"
    path.write_text(SCENE)
    return path


def test_a_request_sends_the_text_and_names_what_comes_next(ask, center, scene: Path):
    outcome = ask("composition", "request", "demo@3", scene)

    method, path, headers, body = center.requests[-1]
    assert outcome.code == 0
    assert (method, path) == ("POST", "/v1/compositions")
    assert json.loads(body) == {"model": "demo", "version": 3, "scene_yaml": SCENE}
    assert headers["Idempotency-Key"]
    assert "mos-client composition pull c1" in outcome.out


def test_pictures_are_waited_for_and_named_by_their_seeds(ask, center, scene, tmp_path: Path):
    center.composition_steps = [RUNNING, DONE]
    center.composition_pictures = {0: b"seven", 1: b"eight"}
    out = tmp_path / "pictures"

    outcome = ask("composition", "request", "demo", scene, "--out", out)

    assert outcome.code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        "00-seed-7.png": b"seven",
        "01-seed-8.png": b"eight",
    }
    assert "drawing:  50 %" in outcome.err


def test_one_that_failed_is_the_center_s_error(ask, center, scene: Path):
    ask("composition", "request", "demo", scene)
    center.composition_steps = [FAILED]

    outcome = ask("composition", "pull", "c1")

    assert outcome.code == EDGES["gone"].exit_code
    assert "A concept was withdrawn." in outcome.err


def test_one_that_was_cancelled_has_no_pictures(ask, center, scene: Path):
    ask("composition", "request", "demo", scene)
    assert ask("composition", "cancel", "c1").code == 0

    outcome = ask("composition", "pull", "c1")

    assert outcome.code == EDGES["job_failed"].exit_code
    assert "was cancelled" in outcome.err


def test_they_are_listed_and_shown(ask, center, scene: Path):
    assert "No composition yet" in ask("composition", "list").out
    ask("composition", "request", "demo", scene)
    center.composition_steps = [RUNNING]

    assert "10 of 20 steps" in ask("composition", "show", "c1").out
    (listed,) = ask("--json", "composition", "list").json
    assert (listed["id"], listed["state"]) == ("c1", "running")


def test_an_alias_is_no_version_to_draw_with(ask, scene: Path):
    outcome = ask("composition", "request", "demo@champion", scene)

    assert outcome.code == EDGES["invalid_request"].exit_code
    assert "by its number" in outcome.err


def test_a_scene_file_that_is_not_there_is_told(ask, tmp_path: Path):
    outcome = ask("composition", "request", "demo", tmp_path / "nothing.yaml")

    assert outcome.code != 0
    assert "Traceback" not in outcome.err
