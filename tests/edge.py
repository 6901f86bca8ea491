"""Where pictures are: a tiny base model, pictures of two concepts, and packages tuned on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
            "--steps", "12", "--batch-size", "2", "--prior-penalty", "0", "--out", out,
        ]  # fmt: skip


def make_edge(folder: Path) -> Edge:
    """Draw the pictures and make the base."""
    for name in NAMES:
        write_concept(name, folder, held_out=1)
    return Edge(folder, write_tiny_base(folder / "base"))


def tune_packages(edge: Edge) -> list[Path]:
    """Tune both concepts without interruption."""
    found = []
    for name in NAMES:
        out = edge.folder / "packages" / name
        run("mos-client", *edge.tune(name, out))
        found.append(out)
    return found
