"""`review`: deciding about the concepts that wait, for curators."""

from __future__ import annotations

from typing import Annotated

import typer

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.tables import table

app = typer.Typer(help="Decide about submitted concepts; for curators.", no_args_is_help=True)

WAITING = "pending_review"
Submission = Annotated[str, typer.Argument(metavar="ID", help="As `review list` shows it.")]


@app.command("list")
def list_waiting(
    context: typer.Context,
    state: Annotated[str, typer.Option(help="Submissions in this state.")] = WAITING,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the submissions that wait for review."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.submissions(state=state)
    rows = [(item.id, item.ref, item.state.value, item.reason) for item in found]
    heads = ("SUBMISSION", "CONCEPT", "STATE", "REASON")
    text = table(heads, rows, f"No submission is {state.replace('_', ' ')}.")
    call.print([item.model_dump(mode="json") for item in found], text)


@app.command()
def approve(
    context: typer.Context,
    submission: Submission,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a concept be fused."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        done = session.approve(submission)
    call.print(done.model_dump(mode="json"), f"{done.ref} is {done.state.value}.")


@app.command()
def reject(
    context: typer.Context,
    submission: Submission,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; its owner reads it.")],
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a concept and have its files deleted."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        done = session.reject(submission, reason)
    call.print(done.model_dump(mode="json"), f"{done.ref} is {done.state.value}.")
