"""`composition`: having a center draw a scene, and fetching the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import JobFailed, rebuild

from mos_client.cli.composing import scene_text
from mos_client.cli.invocation import CenterOption, JsonOption, TokenOption, invocation
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import duration, facts, moment, table

if TYPE_CHECKING:
    from mos_client.session import Composition, Session

app = typer.Typer(help="Scenes that the center draws for you.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As `composition list` shows it.")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Wait for the pictures, and put them into this folder."),
]


@app.command()
def request(
    context: typer.Context,
    ref: Annotated[
        str, typer.Argument(metavar="MODEL[@VERSION]", help="The latest when only named.")
    ],
    scene: Annotated[Path, typer.Argument(metavar="SCENE", help="A scene as YAML or JSON.")],
    out: Out = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the center draw a scene; `compose` draws it on this machine."""
    call = invocation(context, center, token, as_json)
    text = scene_text(scene).decode("utf-8", "replace")
    with call.session() as session:
        found = session.request_composition(ref, text)
        paths: list[Path] = []
        if out is not None:
            found = _follow(session, found)
            paths = session.pull_composition(found, out)
    follow = f"Fetch the pictures: mos-client composition pull {found.id} --out DIR"
    told = "\n".join(map(str, paths)) or f"The scene is {found.state.value}. {follow}"
    call.print(found.model_dump(mode="json"), told)


@app.command()
def show(
    context: typer.Context,
    composition: Id,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far a composition is."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.composition(composition)
    call.print(found.model_dump(mode="json"), _description(found))


@app.command("list")
def list_compositions(
    context: typer.Context,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your compositions."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.compositions()
    rows = [
        (
            item.id,
            item.ref,
            item.state.value,
            f"{len(item.pictures)}/{len(item.seeds)}",
            str(item.scene.get("prompt", ""))[:50],
            moment(item.created_at),
        )
        for item in found
    ]
    heads = ("COMPOSITION", "VERSION", "STATE", "PICTURES", "PROMPT", "REQUESTED")
    empty = "No composition yet: `mos-client composition request MODEL SCENE`."
    call.print([item.model_dump(mode="json") for item in found], table(heads, rows, empty))


@app.command()
def pull(
    context: typer.Context,
    composition: Id,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the pictures.")] = Path(
        "composition"
    ),
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait for the pictures, and put them into a folder."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = _follow(session, session.composition(composition))
        paths = session.pull_composition(found, out)
    call.print({"pictures": [str(path) for path in paths]}, "\n".join(map(str, paths)))


@app.command()
def cancel(
    context: typer.Context,
    composition: Id,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop drawing; pictures that are drawn already stay."""
    call = invocation(context, center, token, as_json)
    with call.session() as session:
        found = session.cancel_composition(composition)
    call.print(found.model_dump(mode="json"), f"The composition {found.id} is cancelled.")


def _follow(session: Session, composition: Composition) -> Composition:
    """Watch it with a bar; raises `JobFailed` or the center's error when it fails."""
    with ProgressLine("drawing") as line:
        for report in session.watch_composition(composition.id):
            progress, composition = report.progress, report
            line.update(progress.done, progress.total, progress.message or report.state.value)
    error = composition.error
    if error is not None:
        fields: dict[str, object] = {"composition": composition.id}
        raise rebuild(error.code, error.message, hint=error.hint, fields=fields)
    if not composition.pictures:
        gone = "let go of" if composition.released_at else composition.state.value
        raise JobFailed(f"The composition {composition.id} was {gone}.", hint="Ask for it again.")
    return composition


def _description(composition: Composition) -> str:
    error, left = composition.error, composition.seconds_left
    done, total = composition.progress.done, composition.progress.total
    return facts(
        (
            ("composition", composition.id),
            ("version", composition.ref),
            ("state", composition.state.value),
            ("done", f"{done} of {total} steps"),
            ("left", "" if left is None else f"~{duration(left)}"),
            ("pictures", f"{len(composition.pictures)} of {len(composition.seeds)}"),
            ("error", f"{error.message} {error.hint}".strip() if error else ""),
            ("requested", moment(composition.created_at)),
            ("finished", moment(composition.finished_at) if composition.finished_at else ""),
            ("let go of", moment(composition.released_at) if composition.released_at else ""),
        )
    )
