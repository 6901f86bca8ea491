"""A tiny base model, pictures of two concepts, and a center that knows the base."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from programs import run
from tiny_base import write_tiny_base
from tinyworld.concepts import CONCEPTS
from tinyworld.folder import write_concept

NAMES = ("mittens", "ninja")


@dataclass(frozen=True)
class Edge:
    """What a client has: a base model and pictures, and the words it chose."""

    folder: Path
    base: Path

    def tune(self, name: str, out: Path) -> list[str | Path]:
        """The command line that tunes one concept with few steps."""
        return [
            "tune", self.folder / name / "tune", "--base", self.base, "--name", f"ada/{name}",
            "--word", " ".join(CONCEPTS[name].words), "--class", CONCEPTS[name].class_word,
            "--steps", "12", "--batch-size", "2", "--out", out,
        ]  # fmt: skip


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Edge:
    folder = tmp_path_factory.mktemp("edge")
    for name in NAMES:
        write_concept(name, folder, held_out=1)
    return Edge(folder, write_tiny_base(folder / "base"))


@pytest.fixture(scope="session")
def packages(edge: Edge) -> list[Path]:
    """Both concepts, tuned without interruption."""
    found = []
    for name in NAMES:
        out = edge.folder / "packages" / name
        run("mos-client", *edge.tune(name, out))
        found.append(out)
    return found


@pytest.fixture
def center(edge: Edge, tmp_path: Path) -> Path:
    """The data folder of a center with the base registered."""
    data = tmp_path / "center"
    run("mos-center", "base", "add", "tiny", edge.base, "--data", data, "--prior-samples", "4")
    return data
