"""`mos-center token`."""

from __future__ import annotations

import typer
from rich.table import Table

from mos_center.cli.edge import console
from mos_center.cli.options import Data, opened_data

app = typer.Typer(name="token", help="Who may call this center.", no_args_is_help=True)


@app.command()
def create(name: str, data: Data = None) -> None:
    """Issue a token and print it, this once. Works while the center serves."""
    with opened_data(data) as found:
        token = found.center().tokens.create(name)
    # Plain, so that a script can take it.
    typer.echo(token)


@app.command("list")
def list_tokens(data: Data = None) -> None:
    """List the tokens by name; the tokens themselves are not kept."""
    with opened_data(data) as found:
        records = found.center().tokens.all()
    table = Table("name", "created", "revoked")
    for record in records:
        revoked = f"{record.revoked_at:%Y-%m-%d %H:%M}" if record.revoked_at else ""
        table.add_row(record.name, f"{record.created_at:%Y-%m-%d %H:%M}", revoked)
    console.print(table)


@app.command()
def revoke(name: str, data: Data = None) -> None:
    """Refuse a token from now on."""
    with opened_data(data) as found:
        found.center().tokens.revoke(name)
    console.print(f"{name} is revoked.")
