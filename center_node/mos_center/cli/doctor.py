"""`mos-center doctor`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from mos_center.cli.edge import console
from mos_center.cli.options import Data
from mos_center.doctor.examination import examine
from mos_center.doctor.findings import Finding, Level

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
FAILED = 1


def doctor(
    data: Data = None,
    full: Annotated[
        bool, typer.Option("--full", help="Hash base models again, look for every file")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list")] = False,
) -> None:
    """Check all that the center depends on, and say what to do; exits with 1 on a failure."""
    findings = []
    for finding in examine(os.environ, full=full, data=data):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(FAILED)


def _tell(finding: Finding) -> None:
    level = f"[{_COLOURS[finding.level]}]{finding.level.value:<4}[/]"
    console.print(f"{level} {finding.check}: {escape(finding.found)}", soft_wrap=True)
    if finding.todo:
        console.print(f"     → {escape(finding.todo)}", soft_wrap=True)
