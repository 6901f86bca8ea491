"""`fusion`: stopping a fusion, and trying it again."""

from __future__ import annotations

from typing import Annotated

import typer

from mos_client.cli.fusions import follow, outcome
from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation

app = typer.Typer(help="A fusion: cancel it, try it again.", no_args_is_help=True)
FusionId = Annotated[str, typer.Argument(metavar="ID", help="As `fusions` shows it.")]


@app.command()
def cancel(
    context: typer.Context,
    fusion: FusionId,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the center to stop a fusion; it ends at its next step."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        one = session.cancel_fusion(fusion)
    call.print(one.model_dump(mode="json"), f"Fusion {one.id} is {one.state.value}.")


@app.command()
def retry(
    context: typer.Context,
    fusion: FusionId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is published.")] = False,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a failed fusion tried again."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        one = session.retry_fusion(fusion)
        if wait:
            one = follow(session, one)
    call.print(one.model_dump(mode="json"), outcome(one))
