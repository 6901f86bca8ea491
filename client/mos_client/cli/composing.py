"""`compose` and `storyboard`: pictures of scenes whose regions have prompts of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import InvalidRequest

from mos_client.cli.invocation import (
    CenterOption,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.progress import ProgressLine
from mos_client.cli.sampling import (
    PromptOption,
    WatermarkOption,
    model_folder,
    shown_name,
    write_pictures,
)

if TYPE_CHECKING:
    from mos_protocol.scene import Scene

KINDS = ("pose", "sketch")
# JSON numbers above this lose digits; scenes have the same limit.
MAX_SEED = (1 << 53) - 1


def _print_scene_schema(wanted: bool) -> None:
    if wanted:
        from mos_protocol.scene_file import scene_schema

        typer.echo(json.dumps(scene_schema(), indent=2))
        raise typer.Exit


def _print_storyboard_schema(wanted: bool) -> None:
    if wanted:
        from mos_protocol.scene_file import storyboard_schema

        typer.echo(json.dumps(storyboard_schema(), indent=2))
        raise typer.Exit


ModelArgument = Annotated[
    str,
    typer.Argument(metavar="DIR|MODEL[@VERSION]", help="A model folder, or one at the center."),
]
AdapterOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=DIR",
        show_default=False,
        help="The T2I-Adapter for conditions of a kind (pose, sketch); give it several times.",
    ),
]
SeedOption = Annotated[
    list[int] | None,
    typer.Option(
        min=0, max=MAX_SEED, help="Seeds in the place of the file's; give it several times."
    ),
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda … (a GPU if any).")]


def compose(
    context: typer.Context,
    model: ModelArgument,
    scene: Annotated[Path, typer.Argument(metavar="SCENE", help="A scene as YAML or JSON.")],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PNG|DIR", help="X.png takes all pictures as a grid, a folder each its own."
        ),
    ] = Path("composition.png"),
    seed: SeedOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    watermark: WatermarkOption = True,
    prompt_in_metadata: PromptOption = True,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            callback=_print_scene_schema,
            is_eager=True,
            help="Print the JSON schema of scenes, and nothing else.",
        ),
    ] = False,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a scene: a prompt for the picture, and regions with prompts of their own."""
    call = invocation(context, center, token, as_json)
    if out.suffix not in ("", ".png"):
        raise InvalidRequest(f"{out} is no PNG.", hint="Give a name ending in .png, or a folder.")
    adapters, text = _adapters(adapter), scene_text(scene)

    from mos_protocol.scene_file import read_scene

    # What is wrong without a look at the model is told before it is fetched and loaded.
    read_scene(text, files=True, factor=1)
    folder = model_folder(call, model)

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_client.composing import Composer

    composer = Composer(folder, adapters=adapters, device=device)
    wanted = _with_seeds(composer.scene(text), seed)
    with ProgressLine("drawing") as line:
        pictures = composer.draw(wanted, scene.parent, line.update, watermark=watermark)
    told = composer.provenance(shown_name(model), wanted)
    paths = write_pictures(pictures, told if prompt_in_metadata else told.without_prompts(), out)
    call.print(
        {
            "pictures": [str(path) for path in paths],
            "seeds": list(wanted.seeds),
            "model": str(folder),
        },
        "\n".join(str(path) for path in paths),
    )


def storyboard(
    context: typer.Context,
    model: ModelArgument,
    board: Annotated[Path, typer.Argument(metavar="BOARD", help="Scenes as YAML or JSON.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder for the sheet and the pictures.")
    ] = Path("storyboard"),
    seed: SeedOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    watermark: WatermarkOption = True,
    prompt_in_metadata: PromptOption = True,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            callback=_print_storyboard_schema,
            is_eager=True,
            help="Print the JSON schema of storyboards, and nothing else.",
        ),
    ] = False,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the scenes of a storyboard, each picture on its own and all on one sheet."""
    call = invocation(context, center, token, as_json)
    adapters, text = _adapters(adapter), scene_text(board)

    from mos_protocol.scene_file import read_storyboard

    told = read_storyboard(text, files=True, factor=1)
    folder = model_folder(call, model)

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_diffusion.provenance import save_picture

    from mos_client.composing import Composer, contact_sheet

    composer = Composer(folder, adapters=adapters, device=device)
    scenes = [_with_seeds(scene, seed) for scene in composer.scenes(text)]
    rows, paths = [], []
    with ProgressLine("drawing") as line:
        for number, scene in enumerate(scenes):

            def on_step(done: int, steps: int, number: int = number) -> None:
                line.update(number + done / steps, len(scenes), f"scene {number + 1}")

            rows.append(composer.draw(scene, board.parent, on_step, watermark=watermark))
            at = out / _folder_name(number, scene.title)
            made = composer.provenance(shown_name(model), scene)
            made = made if prompt_in_metadata else made.without_prompts()
            paths += write_pictures(rows[-1], made, at)
    titles = [scene.title or f"Scene {number}" for number, scene in enumerate(scenes, 1)]
    sheet = out / "sheet.png"
    whole = composer.provenance(shown_name(model))
    save_picture(contact_sheet(titles, rows, told.title), sheet, whole)
    call.print(
        {"sheet": str(sheet), "pictures": [str(path) for path in paths], "model": str(folder)},
        "\n".join(str(path) for path in (sheet, *paths)),
    )


def scene_text(path: Path) -> bytes:
    """The bytes of a file, which are not read if there are too many."""
    from mos_protocol.plain_yaml import MAX_BYTES

    length = path.stat().st_size
    if length > MAX_BYTES:
        raise InvalidRequest(
            f"{path} has {length:,} bytes; a scene has at most {MAX_BYTES:,}.",
            hint="Keep pictures in files beside the scene.",
        )
    return path.read_bytes()


def _with_seeds(scene: Scene, seeds: list[int] | None) -> Scene:
    return scene.model_copy(update={"seeds": tuple(seeds)}) if seeds else scene


def _adapters(texts: list[str] | None) -> dict[str, Path]:
    found = {}
    for text in texts or []:
        kind, equals, folder = text.partition("=")
        if kind not in KINDS or not equals or not folder:
            raise InvalidRequest(
                f"--adapter {text} names no kind and folder.",
                hint=f"Write KIND=DIR; the kinds are {', '.join(KINDS)}.",
            )
        found[kind] = Path(folder)
    return found


def _folder_name(number: int, title: str) -> str:
    """For example `01-at-the-beach`."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    return "-".join([f"{number + 1:02}", *words])[:60]
