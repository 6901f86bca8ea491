"""`concepts` and `bases`: what a center has."""

from __future__ import annotations

from typing import Annotated

import typer

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.tables import moment, table


def concepts(
    context: typer.Context,
    base: Annotated[str | None, typer.Option(help="Only those for this base model.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only those of this owner.")] = None,
    q: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="Only those whose name has it.")
    ] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the concepts at the center."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.concepts(base=base, owner=owner, q=q)
    rows = [
        (
            item.ref,
            " ".join(item.words),
            item.class_word,
            item.base,
            item.state,
            moment(item.created_at),
        )
        for item in found
    ]
    heads = ("CONCEPT", "WORDS", "CLASS", "BASE", "STATE", "SUBMITTED")
    text = table(heads, rows, "No concepts yet: `mos-client submit PACKAGE` brings one.")
    call.print([item.model_dump(mode="json") for item in found], text)


def bases(
    context: typer.Context,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the base models that the center fuses concepts for."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.bases()
    rows = [
        (
            item.name,
            item.digest[:12],
            str(sum(1 for _ in item.layer_map.layers())),
            "yes" if item.prior else "no",
        )
        for item in found
    ]
    heads = ("BASE", "DIGEST", "LAYERS", "PRIOR")
    text = table(heads, rows, "The center has no base model: `mos-center base add NAME PATH`.")
    call.print([item.model_dump(mode="json") for item in found], text)
