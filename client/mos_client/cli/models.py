"""`models` and `pull`: the models that a center has published, and getting one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import facts, moment, size, table

if TYPE_CHECKING:
    from mos_client.session import ModelVersion
    from mos_client.session.results import FusedConcept


def models(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL[@VERSION]]", help="Show this version in full."),
    ] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the published models, or show one version."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        if model is not None:
            version = session.model(model)
            call.print(version.model_dump(mode="json"), _description(version))
            return
        found = session.models()
    rows = [
        (
            item.ref,
            item.base,
            ", ".join(concept.ref for concept in item.concepts),
            item.solver,
            " ".join(item.aliases),
            moment(item.created_at),
        )
        for item in found
    ]
    heads = ("MODEL", "BASE", "CONCEPTS", "SOLVER", "ALIASES", "PUBLISHED")
    text = table(heads, rows, "No model is published yet: `mos-client fuse` makes one.")
    call.print([item.model_dump(mode="json") for item in found], text)


def pull(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL[@VERSION|ALIAS]", help="The latest when only named.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder to make (./MODEL-VERSION).")
    ] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model version as a diffusers folder. Run it again to resume."""
    call = invocation(context, center, token, as_json)
    with call.session() as session, ProgressLine("fetching") as line:
        version = session.model(model)
        folder = out or Path(f"{version.model}-{version.version}")
        # By number: an alias may move between the two calls.
        session.pull(version.ref, folder, line.transfer)
    result = {"model": version.model, "version": version.version, "folder": str(folder)}
    call.print(result, f"{version.ref} is in {folder}. Try: {_suggestion(version, folder)}")


def _suggestion(version: ModelVersion, folder: Path) -> str:
    trigger = _trigger(version.concepts[0]) if version.concepts else "…"
    return f'mos-client sample {folder} "a photo of a {trigger}"'


def _trigger(concept: FusedConcept) -> str:
    """How prompts name it; centers of before say its words alone."""
    return concept.trigger or " ".join(concept.words)


def _description(version: ModelVersion) -> str:
    pairs = (
        ("model", version.ref),
        ("aliases", " ".join(version.aliases)),
        ("base", f"{version.base} ({version.base_digest[:12]}…)"),
        ("solver", version.solver),
        ("fusion", version.fusion_id),
        ("build", version.build),
        ("published", moment(version.created_at)),
        ("size", size(sum(file.size for file in version.files))),
    )
    concepts = [(item.ref, str(item.weight), _trigger(item)) for item in version.concepts]
    files = [(file.path, size(file.size), file.sha256[:12]) for file in version.files]
    return "\n\n".join(
        (
            facts(pairs),
            table(("CONCEPT", "WEIGHT", "WORDS"), concepts, "no concepts"),
            table(("FILE", "SIZE", "SHA256"), files, "no files"),
        )
    )
