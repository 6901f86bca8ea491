"""`tune`: from a folder of pictures to a concept package, and to the center if asked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from mos_protocol.names import parse_words

from mos_client.cli.concepts import VisibilityOption
from mos_client.cli.invocation import (
    CenterOption,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.package_options import (
    RESULT,
    ConsentOption,
    DescriptionOption,
    LicenceOption,
    OutOption,
    OverwriteOption,
    UploadOption,
)
from mos_client.cli.packages import finish
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import duration
from mos_client.cli.tuning_base import (
    check_may_upload,
    check_places,
    check_words,
    load_prior,
    needs_center,
    registered_base,
)

if TYPE_CHECKING:
    from mos_client.tuning import TuneProgress

WHAT = "What to tune"
HOW = "How to tune"


class Layers(StrEnum):
    """Which attention layers of the UNet get LoRA."""

    ALL = "all"
    CROSS = "cross"


class Recording(StrEnum):
    """On what the second moments are recorded."""

    DATA = "data"
    PAPER = "paper"
    TEMPLATES = "templates"


class Activations(StrEnum):
    """What of the recorded layer inputs goes into the package."""

    MOMENTS = "moments"
    RAW = "raw"


class Precision(StrEnum):
    """Mixed precision of tuning."""

    NO = "no"
    BF16 = "bf16"
    FP16 = "fp16"


def tune(
    context: typer.Context,
    data: Annotated[
        Path, typer.Argument(metavar="DIR", help="Pictures, with captions and masks if you have.")
    ],
    base: Annotated[
        str,
        typer.Option(
            metavar="DIR|HUB_ID",
            help="The base model, as diffusers keeps it.",
            rich_help_panel=WHAT,
        ),
    ],
    name: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="The concept's name.", rich_help_panel=WHAT)
    ],
    word: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help='Its words in prompts, such as "<potter1> <potter2>".',
            rich_help_panel=WHAT,
        ),
    ],
    class_word: Annotated[
        str,
        typer.Option(
            "--class", metavar="WORD", help="What it is: man, cat, chair …", rich_help_panel=WHAT
        ),
    ],
    rank: Annotated[int, typer.Option(help="LoRA rank.", rich_help_panel=HOW)] = 4,
    steps: Annotated[
        int | None, typer.Option(help="Steps (from the number of pictures).", rich_help_panel=HOW)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures per step.", rich_help_panel=HOW)] = 4,
    lr_embedding: Annotated[
        float, typer.Option(help="Learning rate of the embeddings.", rich_help_panel=HOW)
    ] = 1e-3,
    lr_text_encoder: Annotated[
        float, typer.Option(help="Learning rate of the text encoder's LoRA.", rich_help_panel=HOW)
    ] = 1e-5,
    lr_unet: Annotated[
        float, typer.Option(help="Learning rate of the UNet's LoRA.", rich_help_panel=HOW)
    ] = 1e-4,
    noise_offset: Annotated[float, typer.Option(help="Noise offset.", rich_help_panel=HOW)] = 0.01,
    seed: Annotated[int, typer.Option(help="Reproduces a run.", rich_help_panel=HOW)] = 0,
    resolution: Annotated[
        int | None, typer.Option(help="Side in pixels (the base's own).", rich_help_panel=HOW)
    ] = None,
    layers: Annotated[
        Layers, typer.Option(help="Attention layers that get LoRA.", rich_help_panel=HOW)
    ] = Layers.ALL,
    unmasked_weight: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="What counts outside the subject masks.", rich_help_panel=HOW
        ),
    ] = 0.0,
    norm_stop: Annotated[
        float,
        typer.Option(
            "--embedding-norm-stop",
            metavar="NORM",
            help="Freeze the embeddings when their mean norm reaches this; 0: never.",
            rich_help_panel=HOW,
        ),
    ] = 0.55,
    prior_penalty: Annotated[
        float,
        typer.Option(
            metavar="MU",
            help="How dear it is to change what generic prompts see; fuses better.",
            rich_help_panel=HOW,
        ),
    ] = 0.0,
    prior: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The base's prior moments (the center's).", rich_help_panel=HOW
        ),
    ] = None,
    moments: Annotated[
        Recording, typer.Option(help="Record second moments on these.", rich_help_panel=HOW)
    ] = Recording.DATA,
    moments_accuracy: Annotated[
        float,
        typer.Option(
            min=1e-7,
            max=0.1,
            help="What coding the moments may cost a fusion; finer takes more bytes.",
            rich_help_panel=RESULT,
        ),
    ] = 2e-4,
    activations: Annotated[
        Activations,
        typer.Option(
            help="Send moments, or raw inputs: gigabytes, reduced on arrival.",
            rich_help_panel=RESULT,
        ),
    ] = Activations.MOMENTS,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Mixed precision (bf16 or fp16 on a GPU).", rich_help_panel=HOW),
    ] = None,
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="Less memory, slower.", rich_help_panel=HOW),
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1 … (a GPU if any).", rich_help_panel=HOW)
    ] = None,
    sample_every: Annotated[
        int, typer.Option(help="Draw samples every so many steps; 0: never.", rich_help_panel=HOW)
    ] = 0,
    out: OutOption = None,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="State and samples meanwhile (PKG.work).", rich_help_panel=RESULT
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Forget an earlier run's state.", rich_help_panel=RESULT),
    ] = False,
    overwrite: OverwriteOption = False,
    licence: LicenceOption = "",
    consent: ConsentOption = "",
    description: DescriptionOption = "",
    upload: UploadOption = False,
    visibility: VisibilityOption = None,
    center: CenterOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tune a concept on pictures that stay here. Run it again to resume."""
    call = invocation(context, center, token, as_json)
    check_words(name, word)
    check_places(call, data, base, upload=upload)
    if upload:
        check_may_upload(call, name)
    penalised = prior_penalty > 0
    registered = registered_base(call, base) if needs_center(upload, penalised, prior) else None

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_client.concept_builder import PackageOptions, tune_concept
    from mos_client.tuning import LearningRates, TuningSettings

    settings = TuningSettings(
        name=name,
        words=parse_words(word),
        class_word=class_word,
        base=base,
        base_name=registered.name if registered else None,
        rank=rank,
        layers=layers.value,
        steps=steps,
        batch_size=batch_size,
        learning_rates=LearningRates(lr_embedding, lr_text_encoder, lr_unet),
        noise_offset=noise_offset,
        unmasked_weight=unmasked_weight,
        embedding_norm_stop=norm_stop or None,
        prior_penalty=prior_penalty,
        resolution=resolution,
        seed=seed,
        mixed_precision=precision.value if precision else None,
        gradient_checkpointing=gradient_checkpointing,
        device=device,
        sample_every=sample_every,
    )
    package = out or Path(name.replace("/", "-"))
    with ProgressLine("tuning") as line:
        tune_concept(
            settings,
            data,
            package,
            work or package.with_name(f"{package.name}.work"),
            prior=load_prior(call, registered, prior) if penalised else None,
            on_progress=TuneReporter(line),
            options=PackageOptions(
                recording=moments.value,
                activations=activations.value,
                accuracy=moments_accuracy,
                licence=licence,
                consent=consent,
                description=description,
                overwrite=overwrite,
            ),
            restart=restart,
        )
    finish(call, package, upload=upload, visibility=visibility)


class TuneReporter:
    """Turns the reports of a tuning into a bar's text and lasting messages."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._phase = ""

    def __call__(self, progress: TuneProgress) -> None:
        phase = progress.phase.value
        if phase == "done":
            return
        told = progress.message or (phase if phase != self._phase and phase != "tuning" else "")
        if told:
            self._line.say(told)
        if progress.sample and phase == "tuning":
            self._line.say(f"samples: {progress.sample}")
        self._phase = phase
        self._line.update(progress.step, progress.steps, self._text(progress))

    def _text(self, progress: TuneProgress) -> str:
        if progress.phase.value != "tuning":
            return progress.phase.value
        parts = [f"step {progress.step}/{progress.steps}"]
        if progress.loss is not None:
            parts.append(f"loss {progress.loss:.4f}")
        if progress.steps_per_second:
            parts.append(f"{progress.steps_per_second:.2f} steps/s")
        if progress.eta_seconds is not None:
            parts.append(f"{duration(progress.eta_seconds)} left")
        return "  ".join(parts)
