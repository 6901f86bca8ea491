"""`evaluate`: how well concepts follow prompts and keep their identity, alone and fused."""

from __future__ import annotations

import re
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
from mos_client.cli.sampling import model_folder
from mos_client.cli.tables import table

if TYPE_CHECKING:
    from mos_diffusion.evaluation.report import Report

    from mos_client.evaluating.plan import Target

HOW = "How to sample"
BY = "How to measure"
MOST_SEEDS = 10_000

_SEEDS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def evaluate(
    context: typer.Context,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="PKG|DIR|MODEL[@VERSION]…",
            help="Concept packages, model folders, models at the center.",
        ),
    ],
    concept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DIR",
            show_default=False,
            help="A concept to evaluate, and the pictures it was tuned on; give it several times.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="DIR|HUB_ID", help="The base model: packages and bounds need it."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results and pictures go.")] = Path(
        "evaluation"
    ),
    seeds: Annotated[
        str, typer.Option(metavar="LIST", help="One picture per prompt each.", rich_help_panel=HOW)
    ] = "1-50",
    steps: Annotated[
        int, typer.Option(min=1, max=1000, help="Denoising steps.", rich_help_panel=HOW)
    ] = 20,
    guidance: Annotated[
        float, typer.Option(help="Classifier-free guidance scale.", rich_help_panel=HOW)
    ] = 7.5,
    negative: Annotated[
        str | None,
        typer.Option(help="What not to draw (a stock list of flaws).", rich_help_panel=HOW),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=8,
            help="Width and height in pixels (the model's own).",
            rich_help_panel=HOW,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=1024, help="Pictures made together.", rich_help_panel=HOW)
    ] = 8,
    half: Annotated[
        bool, typer.Option("--half", help="Sample in float16, on a GPU.", rich_help_panel=HOW)
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda … (a GPU if any).", rich_help_panel=HOW)
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep sampled pictures here (OUT/pictures); evaluations may share it.",
            rich_help_panel=HOW,
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|FILE",
            help="character, pet, chair, table, vase, scene, or a file (by the class word).",
            rich_help_panel=BY,
        ),
    ] = None,
    clip: Annotated[
        str, typer.Option(metavar="DIR|HUB_ID", help="The CLIP.", rich_help_panel=BY)
    ] = "openai/clip-vit-base-patch32",
    dino: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|HUB_ID",
            help="A DINO too, for a second image-alignment.",
            rich_help_panel=BY,
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DIR",
            show_default=False,
            help="Pictures of a concept that tuning never saw: measure the identity kept on them.",
            rich_help_panel=BY,
        ),
    ] = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure text- and image-alignment of concepts, in their own model and in fused ones.

    Twenty prompts per concept, one picture per seed each. Interrupted, the same command goes on.
    """
    call = invocation(context, center, token, as_json)
    numbers = parse_seeds(seeds)
    places = [(text, _place(call, text)) for text in targets]

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_diffusion.evaluation.pictures import PictureCache, SamplingSettings
    from mos_diffusion.sampling import NEGATIVE_PROMPT

    from mos_client.evaluating.plan import make_plan
    from mos_client.evaluating.run import Instruments, run_evaluation

    plan = make_plan(
        [_target(text, path) for text, path in places], concept or [], held_out or [], prompts
    )
    settings = SamplingSettings(
        seeds=numbers,
        steps=steps,
        guidance=guidance,
        negative_prompt=NEGATIVE_PROMPT if negative is None else negative,
        side=side,
        batch_size=batch_size,
    )
    with ProgressLine("evaluating") as line:
        report = run_evaluation(
            plan,
            settings,
            Instruments(base=base, clip=clip, dino=dino, device=device, half=half),
            out,
            PictureCache(pictures) if pictures else None,
            lambda what, done, total: line.update(done, total, f"{what}  {done}/{total}"),
        )
    if report is not None:
        call.print(report.document(), _told(report, out))


def parse_seeds(text: str) -> tuple[int, ...]:
    """`1-50,77` → the seeds; raise `InvalidRequest` for anything else."""
    found: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or last - first >= MOST_SEEDS:
            raise InvalidRequest(
                f"{part!r} names no seeds.",
                hint=f"Write 1-50, or 1,2,7; at most {MOST_SEEDS} of them.",
            )
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def _place(call: Invocation, text: str) -> Path:
    """The folder of a target; a model that is not here is fetched from the center."""
    return Path(text) if Path(text).is_dir() else model_folder(call, text)


def _target(text: str, path: Path) -> Target:
    """A fetched model is labelled by what was asked for."""
    from mos_client.evaluating.plan import read_target

    return read_target(path, None if Path(text) == path else text)


def _told(report: Report, out: Path) -> str:
    heads, rows = report.table()
    told = table(heads, rows, "Nothing was measured.")
    return f"{told}\n\n{out / 'evaluation.md'}"
