from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from mos_center.cli.app import app
from typer.testing import CliRunner

run = CliRunner(env={"COLUMNS": "200"}).invoke


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """A data folder in which something was done."""
    options = ["--data", str(tmp_path)]
    for name in ("one", "two"):
        assert run(app, ["token", "create", "ada", "--name", name, *options]).exit_code == 0
    return options


def test_entries_are_listed_for_people_and_for_programs(data: list[str]) -> None:
    listed = run(app, ["audit", "list", *data])
    printed = run(app, ["audit", "list", "--json", "--after", "1", *data])

    assert "member.added" in listed.stdout
    entries = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [entry["action"] for entry in entries] == ["token.created", "token.created"]
    assert entries[0]["actor"] == "local"
    assert "mos_" not in listed.stdout + printed.stdout


def test_a_sound_log_ends_with_a_checkpoint_that_holds_later(data: list[str]) -> None:
    first = run(app, ["audit", "verify", *data])
    checkpoint = first.stdout.splitlines()[-1]
    run(app, ["token", "create", "ada", "--name", "three", *data])

    later = run(app, ["audit", "verify", "--expect", checkpoint, *data])

    assert (first.exit_code, later.exit_code) == (0, 0)
    assert checkpoint.startswith("3:")
    assert "4 entries, all as they were written." in later.stdout


def test_a_changed_log_is_told_with_the_entry_and_an_exit_code(
    data: list[str], tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "center.db") as database:
        database.execute("DROP TRIGGER audit_log_refuses_update")
        database.execute("UPDATE audit_log SET actor = 'eve' WHERE seq = 2")
    database.close()

    result = run(app, ["audit", "verify", *data])

    assert result.exit_code == 3
    assert "broken at entry 2: its content is not" in result.stderr


def test_a_checkpoint_that_is_none_is_a_mistake(data: list[str]) -> None:
    assert run(app, ["audit", "verify", "--expect", "latest", *data]).exit_code == 2
