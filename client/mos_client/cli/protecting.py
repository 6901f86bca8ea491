"""`protect`: copies of photos that are harder to learn from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.errors import InvalidRequest

from mos_client.cli.invocation import Invocation, JsonOption, invocation
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import duration

if TYPE_CHECKING:
    from mos_client.protecting import Protection
    from mos_client.tuning import TuneProgress

RESULT = "What is written"
HOW = "Against what, and how long"


class Surrogate(StrEnum):
    """What learns of the model that stands for an attacker's."""

    EDLORA = "ed-lora"
    UNET = "unet"


def protect(
    context: typer.Context,
    photos: Annotated[
        Path, typer.Argument(metavar="DIR", help="Photos, with captions if you have.")
    ],
    base: Annotated[
        str,
        typer.Option(metavar="DIR|HUB_ID", help="The base model they would be tuned on."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the protected copies go: PNG, same names.")
    ],
    class_word: Annotated[
        str, typer.Option("--class", metavar="WORD", help="What they show: person, cat …")
    ] = "person",
    budget: Annotated[
        int,
        typer.Option(
            metavar="STEPS",
            help="The most that a channel of a pixel changes, in 1/255 (1 to 32).",
            rich_help_panel=RESULT,
        ),
    ] = 8,
    longest_side: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Shrink larger photos (twice the base's).",
            rich_help_panel=RESULT,
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Rounds; more protect more.", rich_help_panel=HOW)
    ] = 50,
    surrogate: Annotated[
        Surrogate, typer.Option(help="What the stand-in learns with.", rich_help_panel=HOW)
    ] = Surrogate.EDLORA,
    lr_embedding: Annotated[
        float, typer.Option(help="Learning rate of the embeddings.", rich_help_panel=HOW)
    ] = 1e-3,
    lr_text_encoder: Annotated[
        float, typer.Option(help="Learning rate of the text encoder's LoRA.", rich_help_panel=HOW)
    ] = 1e-5,
    lr_unet: Annotated[
        float, typer.Option(help="Learning rate of the UNet, or its LoRA.", rich_help_panel=HOW)
    ] = 1e-4,
    batch_size: Annotated[int, typer.Option(help="Photos at a time.", rich_help_panel=HOW)] = 4,
    resolution: Annotated[
        int | None, typer.Option(help="Side in pixels (the base's own).", rich_help_panel=HOW)
    ] = None,
    seed: Annotated[int, typer.Option(help="Reproduces a run.", rich_help_panel=HOW)] = 0,
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="Less memory, slower.", rich_help_panel=HOW),
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1 … (a GPU if any).", rich_help_panel=HOW)
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The state meanwhile (OUT.work).", rich_help_panel=RESULT),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Forget an earlier run's state.", rich_help_panel=RESULT),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Perturb photos so that tuning on them learns less; the originals stay. Resumes."""
    call = invocation(context, None, None, as_json)
    _check(photos, base)

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_client.protecting import ProtectionSettings
    from mos_client.protecting import protect as protect_photos
    from mos_client.tuning import LearningRates

    settings = ProtectionSettings(
        base=base,
        class_word=class_word,
        budget=budget,
        rounds=rounds,
        surrogate=surrogate.value,
        learning_rates=LearningRates(lr_embedding, lr_text_encoder, lr_unet),
        batch_size=batch_size,
        resolution=resolution,
        longest_side=longest_side,
        seed=seed,
        gradient_checkpointing=gradient_checkpointing,
        device=device,
    )
    with ProgressLine("protecting") as line:
        found = protect_photos(
            settings,
            photos,
            out,
            work or out.with_name(f"{out.name}.work"),
            RoundReporter(line),
            restart=restart,
        )
    _print(call, found, out, settings.budget)


class RoundReporter:
    """Turns the reports of a protection into a bar's text and lasting messages."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line

    def __call__(self, progress: TuneProgress) -> None:
        if progress.message:
            self._line.say(progress.message)
        parts = [f"round {progress.step}/{progress.steps}"]
        if progress.loss is not None:
            parts.append(f"loss {progress.loss:.4f}")
        if progress.eta_seconds is not None:
            parts.append(f"{duration(progress.eta_seconds)} left")
        self._line.update(progress.step, progress.steps, "  ".join(parts))


def _check(photos: Path, base: str) -> None:
    """Refuse places where nothing is before anything heavy is loaded."""
    if not photos.is_dir():
        raise InvalidRequest(f"{photos} is no folder.", hint="Give the folder with the photos.")
    if not Path(base).is_dir() and "/" not in base:
        raise InvalidRequest(
            f"There is no base model {base!r} here.",
            hint="Give a folder in diffusers layout, or a hub id such as owner/model.",
        )


def _print(call: Invocation, found: Protection, out: Path, budget: int) -> None:
    pictures = [
        {"file": str(out / photo.place), "largest_change": photo.largest, "psnr": photo.psnr}
        for photo in found.photos
    ]
    lines = [
        f"{out / photo.place}  changed by at most {photo.largest}/255, PSNR {photo.psnr:.1f} dB"
        for photo in found.photos
    ]
    document = {"pictures": pictures, "budget": budget, "rounds": len(found.losses)}
    call.print(document, "\n".join(lines))
