"""`mos-center audit`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from mos_center.cli.edge import console, errors
from mos_center.cli.options import Data, opened_data
from mos_center.domain.access import LOCAL
from mos_center.domain.events import AuditEntry, Checkpoint

app = typer.Typer(name="audit", help="The log of all changes.", no_args_is_help=True)

TAMPERED = 3


@app.command()
def verify(
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ:HASH", help="A checkpoint that an earlier run printed: it must still hold"
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Check that no entry was changed, removed or swapped; prints a checkpoint to note elsewhere.

    Entries cut off at the end, or a log written anew, only show with --expect. Ends with 3 when
    the log is not as it was written.
    """
    expected = None if expect is None else Checkpoint.parse(expect)
    with opened_data(data) as found:
        result = found.center().audit.verify(caller=LOCAL, expected=expected)
    if result.fault is not None:
        fault = result.fault
        errors.print(f"[bold red]broken[/] at entry {fault.seq}: {escape(fault.problem)}.")
        errors.print(f"The {result.checked} entries before it are as they were written.")
        raise typer.Exit(TAMPERED)
    console.print(f"{result.checked} entries, all as they were written.")
    # Plain, so that a script can take it.
    typer.echo(str(result.last))


@app.command("list")
def list_entries(
    after: Annotated[int, typer.Option(min=0, help="Only entries above this number")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="How many at most")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON document per line")] = False,
    data: Data = None,
) -> None:
    """List entries, oldest first."""
    with opened_data(data) as found:
        entries = found.center().audit.entries(caller=LOCAL, after=after, limit=limit)
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(_plain(entry), sort_keys=True))
        return
    table = Table("number", "at", "actor", "action", "resource", "before", "after")
    for entry in entries:
        event = entry.event
        cells = (event.actor, event.action, event.resource, _text(event.before), _text(event.after))
        at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(entry.seq), at, *(escape(cell) for cell in cells))
    console.print(table)


def _text(snapshot: object) -> str:
    return "" if snapshot is None else json.dumps(snapshot, sort_keys=True)


def _plain(entry: AuditEntry) -> dict[str, object]:
    event = entry.event
    return {
        "seq": entry.seq,
        "at": entry.at.isoformat(timespec="microseconds"),
        "actor": event.actor,
        "action": event.action,
        "resource": event.resource,
        "before": event.before,
        "after": event.after,
        "request_id": entry.request_id,
        "previous": entry.previous,
        "hash": entry.hash,
    }
