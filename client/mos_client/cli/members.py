"""`member` and `invite`: who takes part in the center, for admins."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.tables import moment, table

app = typer.Typer(help="Who takes part; for admins.", no_args_is_help=True)


class Role(StrEnum):
    """What a member may do; each role can do all that the one before can."""

    MEMBER = "member"
    CURATOR = "curator"
    ADMIN = "admin"


@app.command("list")
def list_members(
    context: typer.Context,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the members of the center."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.members()
    rows = [
        (
            item.name,
            item.role,
            "yes" if item.trusted else "",
            moment(item.created_at),
            moment(item.disabled_at) if item.disabled_at else "",
        )
        for item in found
    ]
    heads = ("MEMBER", "ROLE", "TRUSTED", "SINCE", "DISABLED")
    text = table(heads, rows, "There are no members yet.")
    call.print([item.model_dump(mode="json") for item in found], text)


def invite(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="What the newcomer will be called (its choice)."),
    ] = None,
    role: Annotated[Role, typer.Option(help="What the newcomer may do.")] = Role.MEMBER,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Its packages need no review where trust counts.")
    ] = False,
    hours: Annotated[float | None, typer.Option(min=0.01, help="Hours until it expires.")] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a join token for one newcomer and print the command to join with; for admins."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        made = session.invite(name, role=role.value, trusted=trusted, hours=hours)
    where = call.center or (call.saved.url if call.saved else "URL")
    wish = "" if made.name else " --name NAME"
    text = (
        f"mos-client join {where} {made.token}{wish}\n"
        f"Good for one {made.role} until {moment(made.expires_at)}; it is not shown again."
    )
    call.print(made.model_dump(mode="json"), text)
