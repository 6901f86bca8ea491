"""`token`: API tokens, with which programs act for a member."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.tables import moment, table

app = typer.Typer(help="API tokens: make them for programs, end them.", no_args_is_help=True)


class Scope(StrEnum):
    """What a token is good for."""

    CONCEPT_WRITE = "concept:write"
    CONCEPT_READ = "concept:read"
    FUSION_REQUEST = "fusion:request"
    MODEL_READ = "model:read"
    ADMIN = "admin"


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the token is called.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it is good for; once per scope (all that you can)."),
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires.")] = None,
    member: Annotated[
        str | None, typer.Option(help="Whose token it is (yours); for admins.")
    ] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Issue a token and print it, this once."""
    call = invocation(context, center, token, as_json)
    scopes = [item.value for item in scope] if scope else None
    with call.session() as session:
        made = session.create_token(name, scopes=scopes, days=days, member=member)
    # Plain, so that a script can take it.
    call.print(made.model_dump(mode="json"), made.token)


@app.command("list")
def list_tokens(
    context: typer.Context,
    member: Annotated[str | None, typer.Option(help="Only this member's; for admins.")] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your tokens, never the tokens themselves; admins see everybody's."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.tokens(member=member)
    rows = [
        (
            item.id,
            item.member,
            item.name,
            " ".join(item.scopes),
            *(
                moment(when) if when else ""
                for when in (item.last_used_at, item.expires_at, item.revoked_at)
            ),
        )
        for item in found
    ]
    heads = ("TOKEN", "MEMBER", "NAME", "SCOPES", "LAST USED", "EXPIRES", "REVOKED")
    text = table(heads, rows, "There are no tokens: `mos-client token create NAME`.")
    call.print([item.model_dump(mode="json") for item in found], text)


@app.command()
def revoke(
    context: typer.Context,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")],
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a token refused from now on."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        session.revoke_token(token_id)
    call.print({"revoked": token_id}, f"{token_id} is revoked.")
