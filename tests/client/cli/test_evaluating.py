"""`evaluate`: packages and models side by side, resumable, by one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evaluation_world import EvaluationWorld, make_world
from mos_client.cli.evaluating import parse_seeds
from mos_protocol.errors import EDGES, InvalidRequest
from servers import free_ports
from tiny_base import write_tiny_base
from tiny_clip import write_tiny_dino

INVALID = EDGES["invalid_request"].exit_code


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> EvaluationWorld:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def everything(world, tmp_path):
    """The command line that evaluates both concepts alone and fused."""
    return [
        "evaluate", *world.packages, world.fused, "--base", world.base, "--clip", world.clip,
        "--concept", f"c0={world.pictures('c0')}", "--concept", f"c1={world.pictures('c1')}",
        "--prompts", world.prompts, "--seeds", "1-2", "--steps", 1, "--out", tmp_path / "out",
    ]  # fmt: skip


def sampled(folder: Path) -> dict[str, int]:
    paths = folder.rglob("pictures/**/*.png")
    return {str(path): path.stat().st_mtime_ns for path in paths}


def test_packages_and_their_fusion_are_measured_with_bounds(run, everything, tmp_path):
    outcome = run(*everything, "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert outcome.json == document
    assert list(document["means"]) == ["class word", "single", "duo"]
    for item in document["concepts"]:
        assert set(item["models"]) == {"single", "duo"}
        single, fused = (item["models"][label]["image"]["mean"] for label in ("single", "duo"))
        assert item["drop"]["duo"]["image"]["mean"] == pytest.approx(single - fused)
    # Both are cats: the base's pictures are the same and made once.
    assert len(sampled(tmp_path)) == 8 + 2 * 8 + 2 * 8
    grids = {path.name for path in (tmp_path / "out" / "grids").iterdir()}
    assert {"ada-c0.single.png", "ada-c0.class-word.png", "ada-c1.duo.png"} < grids
    assert (tmp_path / "out" / "evaluation.png").is_file()
    assert "drop in image-alignment" in (tmp_path / "out" / "evaluation.md").read_text()


def test_a_second_run_makes_no_picture_and_says_the_same(run, everything, tmp_path):
    first = run(*everything)
    before = sampled(tmp_path)
    again = run(*everything)
    assert (again.code, again.out, sampled(tmp_path)) == (0, first.out, before)


def test_a_run_that_was_killed_goes_on(everything, tmp_path, run):
    program = [sys.executable, "-c", "import sys; from mos_client.cli import main; main()"]
    with subprocess.Popen(
        [*program, *map(str, everything), "--batch-size", "1"], stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and len(sampled(tmp_path)) < 3:
            time.sleep(0.02)
        process.kill()
    before = sampled(tmp_path)
    assert 3 <= len(before) < 40
    assert run(*everything).code == 0
    assert sampled(tmp_path).items() >= before.items()
    assert len(sampled(tmp_path)) == 40


def test_two_processes_share_the_sampling(everything, tmp_path, run):
    """As `accelerate launch` starts them."""
    script = "from mos_client.cli import main; import sys; sys.exit(main())"
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports(1)[0]), "WORLD_SIZE": "2"}
    shared = os.environ | meeting | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", script, *map(str, everything), "--batch-size", "2"]
    processes = [
        subprocess.Popen(
            arguments,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert "ada/c0" in told[0][0]
    assert told[1][0] == ""
    before = sampled(tmp_path)
    assert len(before) == 40
    assert run(*everything).code == 0
    assert sampled(tmp_path) == before


def test_a_model_alone_needs_no_base(run, world, tmp_path):
    outcome = run(
        "evaluate", world.fused, "--concept", f"c1={world.pictures('c1')}", "--clip", world.clip,
        "--prompts", world.prompts, "--seeds", "3", "--steps", 1, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (concept,) = outcome.json["concepts"]
    assert (concept["bounds"], concept["drop"], list(concept["models"])) == (None, {}, ["duo"])


def test_dino_and_held_out_pictures_are_measured_when_asked(run, world, tmp_path):
    outcome = run(
        "evaluate", world.packages[0], world.fused, "--base", world.base, "--clip", world.clip,
        "--dino", write_tiny_dino(tmp_path / "dino"), "--concept", f"c0={world.pictures('c0')}",
        "--held-out", f"c0={world.pictures('c0')}", "--prompts", world.prompts, "--seeds", "1",
        "--steps", 1, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (concept,) = outcome.json["concepts"]
    assert set(concept["models"]["single"]) == {"text", "image", "dino"}
    assert set(concept["held_out"]["losses"]) == {"class word", "single", "duo"}
    assert (tmp_path / "out" / "evaluation-dino.png").is_file()


def test_pictures_may_be_shared_between_evaluations(run, everything, tmp_path):
    shared = ["--pictures", tmp_path / "shared" / "pictures"]
    assert run(*everything, *shared).code == 0
    before = sampled(tmp_path)
    assert run(*everything[:-1], tmp_path / "other", *shared).code == 0
    assert sampled(tmp_path) == before


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--clip", "/nowhere"], "CLIP '/nowhere' can't be loaded"),
        (["--prompts", "dragon"], "no prompts of the kind 'dragon'"),
        (["--concept", "c9=X"], "No target has 'c9'"),
        (["--seeds", "5-1"], "names no seeds"),
        (["--size", "36"], "36 pixels"),
        (["--base", "/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_end_before_anything_is_sampled(run, everything, tmp_path, wrong, told):
    outcome = run(*everything, *wrong)
    assert outcome.code == INVALID
    assert told in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_package_without_a_base_or_of_another_one_is_refused(run, everything, tmp_path):
    at = everything.index("--base")
    outcome = run(*everything[:at], *everything[at + 2 :])
    assert (outcome.code, "--base DIR" in outcome.err) == (INVALID, True)
    other = write_tiny_base(tmp_path / "other", seed=1)
    outcome = run(*everything, "--base", other)
    assert (outcome.code, "was made for the base" in outcome.err) == (INVALID, True)


def test_a_target_that_is_not_here_needs_a_center(run):
    outcome = run("evaluate", "demo", "--concept", "X")
    assert (outcome.code, "--center" in outcome.err) == (INVALID, True)


def test_seeds_are_ranges_and_numbers():
    assert parse_seeds("1-3,7,2") == (1, 2, 3, 7)
    for wrong in ("", "a", "3-1", "1-", "-1", "0-10000"):
        with pytest.raises(InvalidRequest, match="names no seeds"):
            parse_seeds(wrong)
