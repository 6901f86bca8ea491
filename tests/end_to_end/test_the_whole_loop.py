"""Tune, submit, fuse, publish, download, sample: the programs as a user runs them."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import httpx
from PIL import Image
from programs import run, serving, start


def fusion_request(solver: str) -> dict[str, object]:
    concepts = [{"name": f"ada/{name}", "version": 1} for name in ("mittens", "ninja")]
    return {"model": "pair", "base": "tiny", "concepts": concepts, "solver": solver,
            "prior_weight": 0}  # fmt: skip


def wait_for_end(rest: httpx.Client, fusion: dict[str, object]) -> dict[str, object]:
    deadline = time.monotonic() + 120
    while fusion["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, fusion
        time.sleep(0.1)
        fusion = rest.get(f"/v1/fusions/{fusion['id']}").json()
    return fusion


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_clients_tune_comes_back_as_one_model_that_draws_both(edge, center, tmp_path):
    with serving(center) as running:
        for name in ("mittens", "ninja"):
            here = ("--center", running.url)
            run("mos-client", *edge.tune(name, tmp_path / name), "--upload", *here)
        run("mos-client", *here, "fuse", "pair", "--base", "tiny", "--wait",
            "--concept", "ada/mittens", "--concept", "ada/ninja@1:0.9")  # fmt: skip
        run("mos-client", *here, "pull", "pair@1", "--out", tmp_path / "pair")
    words = "<mittens1> <mittens2> and a <ninja1> <ninja2>"
    picture = tmp_path / "both.png"
    run("mos-client", "sample", tmp_path / "pair", f"a photo of a {words}", "--steps", "4",
        "--out", picture)  # fmt: skip
    assert Image.open(picture).size == (32, 32)
    assert {item["words"][0] for item in _concepts(tmp_path / "pair")} == {"<mittens1>", "<ninja1>"}


def test_a_second_submission_of_the_same_package_sends_nothing(center, packages):
    with serving(center) as running:
        here = ("--center", running.url, "--json")
        run("mos-client", "submit", packages[0], *here)
        again = json.loads(run("mos-client", "submit", packages[0], *here))
        listed = json.loads(run("mos-client", "concepts", *here))
    assert again["version"] == 1
    assert len(listed) == 1


def test_a_center_killed_in_mid_fusion_publishes_once_and_the_same(
    edge, center, packages, tmp_path
):
    with serving(center) as running:
        for package in packages:
            run("mos-client", "--center", running.url, "submit", package)
        with httpx.Client(base_url=running.url) as rest:
            fusion = rest.post("/v1/fusions", json=fusion_request("lbfgs")).json()
            while fusion["progress"]["done"] < 2:
                fusion = rest.get(f"/v1/fusions/{fusion['id']}").json()
        assert fusion["state"] == "running"
        running.kill()
    with serving(center) as running, httpx.Client(base_url=running.url) as rest:
        ended = wait_for_end(rest, fusion)
        versions = rest.get("/v1/models/pair").json()["versions"]
        run("mos-client", "--center", running.url, "pull", "pair", "--out", tmp_path / "pulled")
    assert ended["state"] == "published"
    assert len(versions) == 1
    named = [argument for package in packages for argument in ("--concept", package)]
    run("mos-center", "fuse-local", "--base", edge.base, *named, "--solver", "lbfgs",
        "--out", tmp_path / "uninterrupted")  # fmt: skip
    pulled, uninterrupted = digests(tmp_path / "pulled"), digests(tmp_path / "uninterrupted")
    assert "delta.safetensors" in pulled
    # These name the version, or the concepts with theirs, which only the center knows.
    named_apart = {"README.md", "concepts.json", "report.json", "quality.png", ".mos-model.json"}
    # Nor are pictures part of what a build promises.
    previews = {path for path in pulled if path.startswith("previews/")}
    assert len(previews) == 2
    differing = {path for path in pulled if pulled[path] != uninterrupted.get(path)}
    assert differing <= named_apart | previews


def test_tuning_and_upload_killed_again_and_again_end_in_the_same_package(
    edge, center, packages, tmp_path
):
    out = tmp_path / "mittens"
    with serving(center) as running:
        command = (*edge.tune("mittens", out), "--upload", "--center", running.url)
        for seconds in (6, 9, 12):
            process = start("mos-client", *command)
            time.sleep(seconds)
            process.kill()
            process.wait()
        run("mos-client", *command)
        listed = json.loads(run("mos-client", "concepts", "--json", "--center", running.url))
    assert [item["version"] for item in listed] == [1]
    killed, uninterrupted = digests(out), digests(packages[0])
    # Tuned for a center, a package calls the base what that center calls it.
    assert killed.pop("manifest.json") != uninterrupted.pop("manifest.json")
    assert killed == uninterrupted


def _concepts(folder: Path) -> list[dict[str, list[str]]]:
    told = json.loads((folder / "concepts.json").read_text())
    concepts: list[dict[str, list[str]]] = told["concepts"]
    return concepts
