"""The whole run at a tiny size: every benchmark works, and the document has its section."""

from __future__ import annotations

import json

import pytest
import run


def test_a_quick_run_measures_everything_and_writes_the_document(tmp_path, capsys):
    run.main(["--quick", "--work", str(tmp_path), "--threads", "1"])
    folder = tmp_path / "quick"
    text = (folder / "RESULTS.md").read_text()
    assert "- Machine: " in text
    for name in run.EVERYTHING:
        assert json.loads((folder / f"{name}.json").read_text())
        assert (folder / f"{name}.md").read_text() in text
    figures = json.loads((folder / "fuse.json").read_text())
    differences = [step["difference"] for step in figures["incremental"] if "difference" in step]
    assert len(differences) == 2
    assert max(differences) <= 1e-6
    assert figures["order"]["exceptions"] == []
    assert all(figure["peak"]["resident"] > 0 for figure in figures["fresh"])


def test_a_benchmark_that_fails_ends_the_run_and_names_its_command(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "workload.json").write_text('{"arch": "another"}')
    with pytest.raises(SystemExit, match=r"fuse\.py .* exited with 1"):
        run.main(["--quick", "--only", "fuse", "--work", str(tmp_path)])


def test_what_is_not_measured_again_stays_in_the_document(tmp_path):
    document = tmp_path / "RESULTS.md"
    sections = {"fuse": "## Fusing\n\n| a |\n", "moments": "## Moments\n"}
    document.write_text(run.results(sections))
    kept = run.measured_before(document)
    assert kept == sections
    document.write_text(run.results({**kept, "scaling": "## Scaling\n"}))
    assert list(run.measured_before(document)) == ["fuse", "scaling", "moments"]
