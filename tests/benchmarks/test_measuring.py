"""Fresh processes report what they took; failures say why."""

from __future__ import annotations

import pytest
from measuring import (
    BenchmarkError,
    PeakMemory,
    drop_from_cache,
    folder_bytes,
    megabytes,
    resident_peak,
    run_fresh,
    run_script,
    table,
)


def test_a_failing_process_is_an_error_that_shows_what_it_said():
    with pytest.raises(BenchmarkError, match="unrecognized arguments: --nonsense"):
        run_fresh("fuse_once.py", "base", "package", "--out", "out", "--nonsense")


def test_a_script_ends_with_a_sentence_when_there_is_nothing_to_measure():
    def main() -> None:
        raise BenchmarkError("no packages")

    with pytest.raises(SystemExit, match="error: no packages"):
        run_script(main)


def test_peak_memory_sees_what_was_allocated_and_freed():
    before = resident_peak()
    with PeakMemory() as memory:
        block = bytearray(b"x") * (64 << 20)
        del block
    assert memory.to_json()["resident"] >= min(before, 64 << 20)
    assert resident_peak() >= before
    assert memory.to_json()["anonymous"] <= memory.to_json()["resident"]


def test_files_that_leave_the_page_cache_keep_their_content(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    drop_from_cache([tmp_path])
    assert (tmp_path / "file").read_bytes() == b"content"
    assert folder_bytes(tmp_path) == 7


def test_tables_and_sizes_read_well():
    assert table(["a", "b"], [["x", 1]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert [megabytes(5_000), megabytes(12_345_678), megabytes(2_345_678_901)] == [
        "0.005",
        "12.3",
        "2346",
    ]
