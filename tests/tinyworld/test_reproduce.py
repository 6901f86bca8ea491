"""The studies behind docs/evaluation.md, end to end on three concepts and few steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "tinyworld" / "reproduce.py"
METHODS = ("P+", "Custom Diffusion", "LoRA", "Mix-of-Show")


def _reproduce(work: Path, document: Path, *more: str) -> subprocess.CompletedProcess[str]:
    quick = ["--concepts", "3", "--profile", "quick", "--work", work, "--document", document]
    command = [sys.executable, SCRIPT, *quick, "--device", "cpu", *more]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduced")
    done = _reproduce(folder / "work", folder / "evaluation.md")
    assert done.returncode == 0, done.stderr
    return folder


def test_every_method_is_in_the_table_single_and_fused(reproduced: Path) -> None:
    text = (reproduced / "evaluation.md").read_text()
    table = text.split("<!-- reproduced: table -->")[1].split("<!-- end -->")[0]
    for method in METHODS:
        rows = [line for line in table.splitlines() if line.startswith(f"| {method} |")]
        assert rows, method
        assert all("nan" not in row for row in rows)


def test_inserted_embeddings_lose_nothing_by_fusion(reproduced: Path) -> None:
    text = (reproduced / "evaluation.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| P+ |"))
    assert row.rstrip(" |").endswith("+0.000")


def test_scaling_and_tuning_say_what_is_kept_of_two_concepts(reproduced: Path) -> None:
    text = (reproduced / "evaluation.md").read_text()
    for part in ("scaling", "tuning"):
        table = text.split(f"<!-- reproduced: {part} -->")[1].split("<!-- end -->")[0]
        assert "kept, 2" in table
        assert "| kv-16-prior-0.5 | default |" in table
    assert (reproduced / "images" / "evaluation.png").stat().st_size > 1000


def test_a_second_run_makes_nothing_again_and_writes_the_same(reproduced: Path) -> None:
    document = reproduced / "evaluation.md"
    before = document.read_text()
    made = {path: path.stat().st_mtime_ns for path in (reproduced / "work").rglob("*.json")}
    done = _reproduce(reproduced / "work", document)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in (reproduced / "work").rglob("*.json")} == made
    assert document.read_text() == before


def test_what_was_not_measured_stays_as_it_is_in_the_document(reproduced: Path) -> None:
    document = reproduced / "again.md"
    document.write_text(
        "By hand.\n<!-- reproduced: table -->\nold\n<!-- end -->\n"
        "<!-- reproduced: tuning -->\nolder\n<!-- end -->\n"
    )
    done = _reproduce(reproduced / "work", document, "--only", "tuning")
    assert done.returncode == 0, done.stderr
    text = document.read_text()
    assert text.startswith("By hand.\n<!-- reproduced: table -->\nold\n<!-- end -->\n")
    assert "older" not in text
