"""`mos-center token`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from mos_center.cli.edge import console
from mos_center.cli.options import Data, opened_data
from mos_center.domain.access import LOCAL, Role, Scope

app = typer.Typer(name="token", help="Who may call this center.", no_args_is_help=True)


@app.command()
def create(
    member: str,
    name: Annotated[str, typer.Option(help="What the token is called")] = "default",
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it is good for; once per scope  [default: all of the role]"),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until it expires  [default: never]")
    ] = None,
    data: Data = None,
) -> None:
    """Issue a token of a member and print it, this once. Works while the center serves.

    The first member of a center is added as its admin, others by `mos-center member add`.
    """
    with opened_data(data) as found:
        center = found.center()
        if not center.members.all(caller=LOCAL):
            center.members.add(member, Role.ADMIN, caller=LOCAL)
        lifetime = None if days is None else timedelta(days=days)
        token, _ = center.tokens.create(member, name, scopes=scope, lifetime=lifetime, caller=LOCAL)
    # Plain, so that a script can take it.
    typer.echo(token)


@app.command("list")
def list_tokens(
    member: Annotated[str | None, typer.Argument(help="Only this member's")] = None,
    data: Data = None,
) -> None:
    """List the tokens by member and name; the tokens themselves are not kept."""
    with opened_data(data) as found:
        records = found.center().tokens.all(member, caller=LOCAL)
    table = Table("id", "member", "name", "scopes", "created", "last used", "expires", "revoked")
    for record in records:
        times = (record.created_at, record.last_used_at, record.expires_at, record.revoked_at)
        scopes = " ".join(sorted(record.scopes))
        table.add_row(record.id, record.member, record.name, scopes, *map(moment, times))
    console.print(table)


@app.command()
def revoke(token_id: str, data: Data = None) -> None:
    """Refuse a token from now on; `list` shows the ids."""
    with opened_data(data) as found:
        found.center().tokens.revoke(token_id, caller=LOCAL)
    console.print(f"{token_id} is revoked.")


def moment(when: datetime | None) -> str:
    """A time to the minute, in UTC, or nothing."""
    return f"{when:%Y-%m-%d %H:%M}" if when else ""
