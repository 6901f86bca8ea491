"""`concept`: one concept: who sees it, what became of it, taking it back."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.tables import facts, moment, table

if TYPE_CHECKING:
    from mos_client.session import ConceptDetail, ConceptOverview, Withdrawn

app = typer.Typer(help="A concept: who sees it, what was made of it.", no_args_is_help=True)

Ref = Annotated[
    str, typer.Argument(metavar="OWNER/NAME[@VERSION]", help="The latest when only named.")
]
Name = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The concept, all its versions.")]
Member = Annotated[str, typer.Argument(metavar="MEMBER", help="Another member of the center.")]


class Visibility(StrEnum):
    """Who sees a concept besides its owner, curators and admins."""

    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"


VisibilityOption = Annotated[
    Visibility | None,
    typer.Option(
        help="Who shall see the concept besides you (as it is, or the center's choice).",
        rich_help_panel="The center",
    ),
]


@app.command()
def show(
    context: typer.Context,
    ref: Ref,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a concept: its versions and who sees them, or one version in full."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        if "@" in ref:
            version = session.concept(ref)
            call.print(version.model_dump(mode="json"), _version(version))
            return
        concept = session.concept_overview(ref)
    call.print(concept.model_dump(mode="json"), _overview(concept))


@app.command()
def visibility(
    context: typer.Context,
    name: Name,
    who: Annotated[Visibility, typer.Argument(help="Who shall see it.")],
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose who sees a concept of yours, and may fuse it."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        concept = session.show_concept(name, who.value)
    call.print(concept.model_dump(mode="json"), _who_sees(concept))


@app.command()
def share(
    context: typer.Context,
    name: Name,
    member: Member,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a member see and fuse a concept of yours, while its visibility is shared."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        concept = session.share_concept(name, member)
    call.print(concept.model_dump(mode="json"), _who_sees(concept))


@app.command()
def unshare(
    context: typer.Context,
    name: Name,
    member: Member,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take that back."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        concept = session.unshare_concept(name, member)
    call.print(concept.model_dump(mode="json"), _who_sees(concept))


@app.command()
def withdraw(
    context: typer.Context,
    ref: Ref,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; those who used it read it.")],
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a concept version never fused again, and see which models contain it."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        withdrawn = session.withdraw_concept(ref, reason)
    call.print(withdrawn.model_dump(mode="json"), _outcome(withdrawn))


@app.command()
def models(
    context: typer.Context,
    ref: Ref,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the model versions that contain a concept."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.models_with(ref)
    rows = [
        (
            item.ref,
            ", ".join(concept.ref for concept in item.concepts),
            moment(item.created_at),
            item.tombstone_reason,
        )
        for item in found
    ]
    heads = ("MODEL", "CONCEPTS", "PUBLISHED", "WITHDRAWN")
    text = table(heads, rows, f"No model contains {ref}.")
    call.print([item.model_dump(mode="json") for item in found], text)


def _who_sees(concept: ConceptOverview) -> str:
    shares = ", ".join(concept.shares or ())
    told = {
        Visibility.PRIVATE: "you alone, and curators",
        Visibility.SHARED: shares or "nobody yet: mos-client concept share NAME MEMBER",
        Visibility.PUBLIC: "every member",
    }.get(Visibility(concept.visibility), "")
    return f"{concept.name} is {concept.visibility}: it is seen by {told}."


def _overview(concept: ConceptOverview) -> str:
    pairs = (
        ("concept", concept.name),
        ("visibility", concept.visibility),
        ("shared with", ", ".join(concept.shares or ())),
    )
    rows = [
        (item.ref, " ".join(item.words), item.base, item.state, moment(item.created_at))
        for item in concept.versions
    ]
    heads = ("CONCEPT", "WORDS", "BASE", "STATE", "SUBMITTED")
    return f"{facts(pairs)}\n\n{table(heads, rows, 'no versions')}"


def _version(concept: ConceptDetail) -> str:
    manifest = concept.manifest
    return facts(
        (
            ("concept", concept.ref),
            ("state", concept.state),
            ("words", " ".join(concept.words)),
            ("class word", concept.class_word),
            ("base", concept.base),
            ("rank", str(concept.rank)),
            ("licence", manifest.licence),
            ("consent", manifest.consent),
            ("description", manifest.description),
            ("submission", concept.submission_id),
            ("submitted", moment(concept.created_at)),
        )
    )


def _outcome(withdrawn: Withdrawn) -> str:
    text = f"{withdrawn.concept.ref} is withdrawn and can't be fused any more."
    if not withdrawn.affected:
        return f"{text} No model contains it."
    refs = ", ".join(item.ref for item in withdrawn.affected)
    again = [item.ref for item in withdrawn.affected if item.refusion]
    hint = f"\nFuse one again without it: mos-client model refusion {again[0]}" if again else ""
    return f"{text} It is part of {refs}.{hint}"
