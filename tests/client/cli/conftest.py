"""Running the command line in this process, against a fake center."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_center import TOKEN, FakeCenter
from mos_client.cli import main
from tiny_package import write_package


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def config(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the centers that are joined."""
    folder = tmp_path_factory.mktemp("config") / "mos-client"
    monkeypatch.setenv("MOS_CONFIG_DIR", str(folder))
    return folder


@pytest.fixture
def center() -> Iterator[FakeCenter]:
    fake = FakeCenter()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def ask(run: Run, center: FakeCenter) -> Run:
    """`run` with the fake center and its token."""

    def ask(*arguments: object) -> Outcome:
        return run("--center", center.url, "--token", TOKEN, *arguments)

    return ask


@pytest.fixture
def package(tmp_path: Path) -> Path:
    write_package(tmp_path / "package")
    return tmp_path / "package"
