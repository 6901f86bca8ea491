"""`sample`: pictures from a model folder, or from a model at the center."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import InvalidRequest

from mos_client.cli.invocation import (
    CenterOption,
    Invocation,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.progress import ProgressLine

if TYPE_CHECKING:
    from mos_diffusion.provenance import Provenance
    from PIL.Image import Image

WatermarkOption = Annotated[
    bool,
    typer.Option(help="Mark pictures of 512×512 and more invisibly with what made them."),
]
PromptOption = Annotated[
    bool, typer.Option(help="Write the prompts into the pictures' metadata too.")
]


def sample(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="DIR|MODEL[@VERSION]", help="A model folder, or one at the center."),
    ],
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    seed: Annotated[
        list[int] | None, typer.Option(help="One picture per seed; give it several times (0).")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PNG|DIR", help="X.png takes all pictures as a grid, a folder each its own."
        ),
    ] = Path("sample.png"),
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Denoising steps.")] = 20,
    guidance: Annotated[float, typer.Option(help="Classifier-free guidance scale.")] = 7.5,
    negative: Annotated[
        str | None, typer.Option(help="What not to draw (a stock list of flaws).")
    ] = None,
    side: Annotated[
        int | None, typer.Option(min=8, help="Width and height in pixels (the model's own).")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda … (a GPU if any).")] = None,
    watermark: WatermarkOption = True,
    prompt_in_metadata: PromptOption = True,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw pictures with a fused model; its concepts' words work in the prompt."""
    call = invocation(context, center, token, as_json)
    if out.suffix not in ("", ".png"):
        raise InvalidRequest(f"{out} is no PNG.", hint="Give a name ending in .png, or a folder.")
    folder = model_folder(call, model)
    seeds = seed or [0]

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_client.sampling import sample_folder

    pictures, told = sample_folder(
        folder,
        prompt,
        seeds=seeds,
        negative_prompt=negative,
        steps=steps,
        guidance=guidance,
        side=side,
        device=device,
        watermark=watermark,
        name=shown_name(model),
    )
    paths = write_pictures(pictures, told if prompt_in_metadata else told.without_prompts(), out)
    call.print(
        {"pictures": [str(path) for path in paths], "seeds": seeds, "model": str(folder)},
        "\n".join(str(path) for path in paths),
    )


def model_folder(call: Invocation, model: str, cache: Path | None = None) -> Path:
    """The folder `model`, or the center's model fetched into `cache` (None: the user's own)."""
    if Path(model).is_dir():
        return Path(model)
    if not call.has_center:
        raise InvalidRequest(
            f"There is no model folder {model!r} here.",
            hint="For a model at a center, give --center URL.",
        )
    from platformdirs import user_cache_path

    with call.session() as session, ProgressLine("fetching") as line:
        version = session.model(model)
        # The build tells versions of two centers apart.
        name = f"{version.model}-{version.version}-{version.build[:12]}"
        folder = (cache or user_cache_path("mos-client")) / "models" / name
        session.pull(version.ref, folder, line.transfer)
    return folder


def shown_name(model: str) -> str:
    """What pictures call the model: of a folder its name, which tells nothing of this machine."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def write_pictures(pictures: list[Image], told: Provenance, out: Path) -> list[Path]:
    """Write a grid to `out` when it is a PNG, else one file per seed into the folder `out`."""
    from mos_diffusion.provenance import save_picture

    from mos_client.sampling import grid

    if out.suffix:
        save_picture(grid(pictures), out, told)
        return [out]
    paths = [out / f"{number:02}-seed-{seed}.png" for number, seed in enumerate(told.seeds)]
    for picture, seed, path in zip(pictures, told.seeds, paths, strict=True):
        save_picture(picture, path, told.model_copy(update={"seeds": (seed,)}))
    return paths
