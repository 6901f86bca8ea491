"""`model`: aliases of a model's versions, where a version comes from, fusing one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.tables import facts, table

if TYPE_CHECKING:
    from mos_client.session import Lineage

app = typer.Typer(help="A model: its aliases, where it comes from.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="A name that can be moved.")]
Ref = Annotated[
    str, typer.Argument(metavar="MODEL[@VERSION|ALIAS]", help="The latest when only named.")
]


@app.command()
def alias(
    context: typer.Context,
    model: Model,
    alias: Alias,
    version: Annotated[int, typer.Argument(min=1, metavar="VERSION", help="What it shall mean.")],
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have an alias mean a version of a model of yours."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.set_alias(model, alias, version)
    call.print(found.model_dump(mode="json"), f"{model}@{alias} is {found.ref}.")


@app.command()
def rollback(
    context: typer.Context,
    model: Model,
    alias: Alias,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have an alias mean again what it meant before it was last moved."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.roll_back(model, alias)
    call.print(found.model_dump(mode="json"), f"{model}@{alias} is {found.ref} again.")


@app.command()
def lineage(
    context: typer.Context,
    ref: Ref,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a version was made of, and what became of that."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.lineage(ref)
    call.print(found.model_dump(mode="json"), _lineage(found))


@app.command()
def refusion(
    context: typer.Context,
    ref: Ref,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for a version again, as it was but without concepts that were withdrawn since."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        fusion = session.request_refusion(ref)
    text = (
        f"Fusion {fusion.id} of {', '.join(item.ref for item in fusion.concepts)} is "
        f"{fusion.state.value}. Follow it: mos-client fusions {fusion.id} --wait"
    )
    call.print(fusion.model_dump(mode="json"), text)


def _lineage(found: Lineage) -> str:
    before = f"{found.model}@{found.predecessor}" if found.predecessor else ""
    pairs = (
        ("model", found.ref),
        ("base", found.base),
        ("fusion", found.fusion_id),
        ("version before", before),
        ("fused again from", found.refusion_of.ref if found.refusion_of else ""),
        ("fused again as", ", ".join(item.ref for item in found.refusions)),
    )
    rows = [
        (item.ref, str(item.weight), item.state.value, item.licence, item.consent)
        for item in found.concepts
    ]
    heads = ("CONCEPT", "WEIGHT", "STATE NOW", "LICENCE", "CONSENT")
    return f"{facts(pairs)}\n\n{table(heads, rows, 'no concepts')}"
