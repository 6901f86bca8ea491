"""`mos-center token`, `member` and `invite`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from mos_center.cli.app import app
from typer.testing import CliRunner

runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture
def run(tmp_path: Path):
    def run(*arguments: str) -> Result:
        return runner.invoke(app, [*arguments, "--data", str(tmp_path)])

    return run


def test_a_token_is_printed_once_listed_without_it_and_revoked(run) -> None:
    token = run("token", "create", "ada", "--scope", "model:read", "--days", "30").stdout.strip()
    assert token.startswith("mos_")
    listed = run("token", "list").stdout
    assert "ada" in listed
    assert "model:read" in listed
    assert token not in listed
    token_id = re.search(r"[0-9a-z]{20,}", listed)[0]

    assert run("token", "revoke", token_id).exit_code == 0

    assert len(re.findall(r"\d{4}-\d\d-\d\d", run("token", "list", "ada").stdout)) == 3


def test_the_first_member_is_its_admin_and_later_ones_are_added(run) -> None:
    run("token", "create", "ada")
    assert run("token", "create", "bob").exit_code == 5
    assert "mos-center token create bob" in run("member", "add", "bob", "--trusted").stdout
    assert run("token", "create", "bob").exit_code == 0

    listed = run("member", "list").stdout
    assert re.search(r"ada\s*│ admin", listed)
    assert re.search(r"bob\s*│ member\s*│ yes", listed)


def test_a_member_is_changed_but_an_admin_is_left(run) -> None:
    run("token", "create", "ada")
    run("member", "add", "bob")

    told = run("member", "set", "bob", "--role", "curator", "--trusted", "--quota-jobs", "3")
    assert told.stdout.strip() == "bob is a curator, trusted, enabled; limits: 3 jobs."
    told = run("member", "set", "bob", "--disable", "--quota-jobs", "center")
    assert "disabled; limits: the center's." in told.stdout
    refused = run("member", "set", "ada", "--role", "member")
    assert refused.exit_code == 4
    assert "last admin" in refused.stderr
    assert run("member", "set", "bob", "--quota-jobs", "-1").exit_code == 2


def test_an_invitation_prints_the_token_and_the_command_to_join(run, tmp_path: Path) -> None:
    plain = run("invite").stdout.splitlines()
    assert plain[0].startswith("mos_join_")
    assert plain[1] == f"mos-client join URL {plain[0]} --name NAME"

    (tmp_path / "serving.json").write_text(json.dumps({"rest": "http://127.0.0.1:9"}))
    named = run("invite", "ada", "--role", "curator", "--hours", "1").stdout.splitlines()
    assert named[1] == f"mos-client join http://127.0.0.1:9 {named[0]}"
    told = run("invite", "bob", "--url", "https://center.example").stdout
    assert "join https://center.example mos_join_" in told
