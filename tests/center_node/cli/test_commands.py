from __future__ import annotations

import json
from pathlib import Path

import pytest
from mos_center.cli.app import app
from typer.testing import CliRunner

run = CliRunner(env={"COLUMNS": "200"}).invoke


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["token", "create", "No Name"], 2, "error: 'No Name' is no valid member name."),
        (["token", "revoke", "bob"], 5, "error: There is no token 'bob'."),
        (["base", "add", "No Name", "x"], 2, "error: 'No Name' is no valid base name."),
        (
            ["base", "add", "x", "y", "--no-prior", "--prior-samples", "3"],
            2,
            "error: --no-prior, --prior-images and --prior-samples exclude each other.",
        ),
    ],
)
def test_a_mistake_ends_with_one_line_a_hint_and_a_code(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    result = run(app, [*arguments, "--data", str(tmp_path)])

    assert result.exit_code == code
    assert message in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_option_of_fuse_local_that_makes_no_sense_is_told_before_anything_is_loaded() -> None:
    options = ["fuse-local", "--base", "b", "--out", "o", "--concept"]

    outcomes = {
        message: run(app, [*options, *arguments])
        for message, arguments in {
            "error: 'heavy' is no weight.": ["package:heavy"],
            "error: 'unet=1' is no weight.": ["package:unet=1"],
            "error: The weight of spatial is not finite.": ["package:spatial=nan"],
            "error: 'everything=1' is no ridge.": ["package", "--ridge", "everything=1"],
            "error: '1.5' is no number of steps.": ["package", "--lbfgs-steps", "1.5"],
            "Invalid value for '--refine-rounds'": ["package", "--refine-rounds", "9"],
            "Invalid value for '--export'": ["package", "--export", "onnx"],
        }.items()
    }

    for message, outcome in outcomes.items():
        assert message in outcome.stderr
        assert outcome.exit_code == 2


def test_a_data_folder_that_cannot_be_used_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = run(app, ["token", "list", "--data", str(tmp_path / "file")])

    assert result.exit_code == 2
    assert "can't be used" in result.stderr


def test_the_openapi_document_is_printed_as_json() -> None:
    result = run(app, ["openapi"])

    document = json.loads(result.stdout)
    assert "/v1/fusions/{fusion_id}/events" in document["paths"]
