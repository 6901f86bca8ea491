from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from deployment import COMPOSE, DOCKERFILES, ROOT, load, name

each = pytest.mark.parametrize("path", DOCKERFILES, ids=name)
HEAVY = {"torch", "diffusers", "transformers", "peft", "accelerate", "matplotlib"}


def instructions(path: Path, keyword: str) -> list[str]:
    text = path.read_text().replace("\\\n", " ")
    return re.findall(rf"^{keyword} (.*)$", text, re.MULTILINE)


def test_there_is_one_file_per_role() -> None:
    assert [path.name for path in DOCKERFILES] == ["api.Dockerfile", "worker.Dockerfile"]


@each
def test_stages_start_from_one_pinned_image(path: Path) -> None:
    python = [line for line in instructions(path, "ARG") if line.startswith("PYTHON=")]

    assert len(python) == 1
    assert re.fullmatch(r"PYTHON=python:3\.\d+\.\d+-slim-\w+", python[0])
    assert instructions(path, "FROM") == ["${PYTHON} AS build", "${PYTHON}"]
    assert "latest" not in path.read_text()


@each
def test_the_process_is_no_root_and_gets_signals_itself(path: Path) -> None:
    assert instructions(path, "USER") == ["10001:10001"]
    assert instructions(path, "ENTRYPOINT") == ['["mos-center"]']
    (command,) = instructions(path, "CMD")
    assert isinstance(json.loads(command), list)


@each
def test_health_is_asked_for_after_a_time_to_start(path: Path) -> None:
    (check,) = instructions(path, "HEALTHCHECK")

    assert "--start-period=" in check
    assert "127.0.0.1:9100/healthz" in check


@each
def test_no_package_index_is_named(path: Path) -> None:
    assert not re.search(r"https?://(?!127\.0\.0\.1)", path.read_text())
    empty = [line for line in instructions(path, "ARG") if not line.startswith("PYTHON=")]
    assert all(line.endswith('=""') for line in empty)


@each
def test_all_that_is_copied_is_sent_to_the_builder(path: Path) -> None:
    sent = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [line for line in instructions(path, "COPY") if not line.startswith("--from")]

    for line in copied:
        *sources, _ = line.split()
        assert set(sources) <= sent
        assert all((ROOT / source).exists() for source in sources)


def test_the_workers_image_can_dump_the_composed_database() -> None:
    server = load(COMPOSE)["services"]["postgres"]["image"].split(":")[1].split(".")[0]

    assert f" postgresql-client-{server} " in DOCKERFILES[1].read_text()


def test_the_api_image_holds_no_torch() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in extras["api"]}

    assert not names & (HEAVY | {"mos-federation"})
    assert "mos-federation[api,engine]" in extras["center"]
    api, worker = DOCKERFILES
    assert '".[api]"' in api.read_text()
    assert '".[center]"' in worker.read_text()
