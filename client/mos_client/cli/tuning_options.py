"""The options of `tune`. What is None where it isn't given is then up to the method."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mos_client.cli.package_options import RESULT

WHAT = "What to tune"
HOW = "How to tune"
CLASS = "What its class keeps"
FUSION = "What keeps more in a fusion"


class Method(StrEnum):
    """What is learned of a concept."""

    ED_LORA = "ed-lora"
    LORA = "lora"
    P_PLUS = "p-plus"
    CUSTOM_DIFFUSION = "custom-diffusion"


class Layers(StrEnum):
    """Which attention layers get LoRA."""

    ALL = "all"
    CROSS = "cross"
    KEYS_VALUES = "keys-values"


class Recording(StrEnum):
    """On what the second moments are recorded."""

    DATA = "data"
    PAPER = "paper"
    TEMPLATES = "templates"


class Activations(StrEnum):
    """What of the recorded layer inputs goes into the package."""

    MOMENTS = "moments"
    RAW = "raw"


class Weighting(StrEnum):
    """How much the errors of a time step count."""

    EVEN = "even"
    MIN_SNR = "min-snr"
    DEBIASED = "debiased"


class Precision(StrEnum):
    """Mixed precision of tuning."""

    NO = "no"
    BF16 = "bf16"
    FP16 = "fp16"


DataArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Pictures, with captions and masks if you have.")
]
BaseOption = Annotated[
    str,
    typer.Option(
        metavar="DIR|HUB_ID",
        help="The base model, as diffusers keeps it.",
        rich_help_panel=WHAT,
    ),
]
NameOption = Annotated[
    str, typer.Option(metavar="OWNER/NAME", help="The concept's name.", rich_help_panel=WHAT)
]
WordOption = Annotated[
    str,
    typer.Option(
        metavar="WORDS",
        help='Its words in prompts, such as "<potter1> <potter2>"; one for other methods.',
        rich_help_panel=WHAT,
    ),
]
ClassOption = Annotated[
    str,
    typer.Option(
        "--class", metavar="WORD", help="What it is: man, cat, chair …", rich_help_panel=WHAT
    ),
]
MethodOption = Annotated[
    Method, typer.Option(help="What is learned; decides the defaults.", rich_help_panel=WHAT)
]
PublishedOption = Annotated[
    bool,
    typer.Option(
        "--as-published",
        help="ED-LoRA as in its paper: rank 4 on all attention, no prior penalty.",
        rich_help_panel=WHAT,
    ),
]
RankOption = Annotated[
    int | None, typer.Option(help="LoRA rank (the method's).", rich_help_panel=HOW)
]
StepsOption = Annotated[
    int | None,
    typer.Option(help="Steps (the method's, or by the pictures).", rich_help_panel=HOW),
]
BatchOption = Annotated[int, typer.Option(help="Pictures per step.", rich_help_panel=HOW)]
EmbeddingRateOption = Annotated[
    float | None,
    typer.Option(help="Learning rate of the embeddings (the method's).", rich_help_panel=HOW),
]
EncoderRateOption = Annotated[
    float | None,
    typer.Option(help="Learning rate of the text encoder's layers.", rich_help_panel=HOW),
]
UnetRateOption = Annotated[
    float | None, typer.Option(help="Learning rate of the UNet's layers.", rich_help_panel=HOW)
]
NoiseOption = Annotated[
    float | None, typer.Option(help="Noise offset (the method's).", rich_help_panel=HOW)
]
WeightingOption = Annotated[
    Weighting, typer.Option(help="How much each time step counts.", rich_help_panel=HOW)
]
SeedOption = Annotated[int, typer.Option(help="Reproduces a run.", rich_help_panel=HOW)]
ResolutionOption = Annotated[
    int | None, typer.Option(help="Side in pixels (the base's own).", rich_help_panel=HOW)
]
UnmaskedOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="What counts outside the subject masks.", rich_help_panel=HOW),
]
NormStopOption = Annotated[
    float | None,
    typer.Option(
        "--embedding-norm-stop",
        metavar="NORM",
        help="Freeze the embeddings when their mean norm reaches this; 0: never.",
        rich_help_panel=HOW,
    ),
]
FlipOption = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Mirror half of the pictures.", rich_help_panel=HOW),
]
ZoomOption = Annotated[
    bool | None,
    typer.Option("--zoom/--no-zoom", help="Show them smaller and larger too.", rich_help_panel=HOW),
]
MomentsOption = Annotated[
    Recording | None,
    typer.Option(help="Record second moments on these (the method's).", rich_help_panel=HOW),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(help="Mixed precision (bf16 or fp16 on a GPU).", rich_help_panel=HOW),
]
CheckpointingOption = Annotated[
    bool,
    typer.Option("--gradient-checkpointing", help="Less memory, slower.", rich_help_panel=HOW),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 … (a GPU if any).", rich_help_panel=HOW)
]
SampleOption = Annotated[
    int, typer.Option(help="Draw samples every so many steps; 0: never.", rich_help_panel=HOW)
]
ImagesOption = Annotated[
    int | None,
    typer.Option(
        "--regularisation-images",
        metavar="N",
        help="Learn this many sampled pictures of the class beside it.",
        rich_help_panel=CLASS,
    ),
]
RegularisationOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Take pictures of the class from here.", rich_help_panel=CLASS
    ),
]
LayersOption = Annotated[
    Layers | None,
    typer.Option(help="Attention layers that get LoRA (the method's).", rich_help_panel=FUSION),
]
PenaltyOption = Annotated[
    float | None,
    typer.Option(
        metavar="MU",
        help="How dear it is to change what generic prompts see (0.5 where a prior is at hand).",
        rich_help_panel=FUSION,
    ),
]
PriorOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="The base's prior moments (the center's).", rich_help_panel=FUSION
    ),
]
EmbeddingFirstOption = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Share of the steps that tune the embeddings alone.",
        rich_help_panel=FUSION,
    ),
]
DropOption = Annotated[
    float,
    typer.Option(
        metavar="P",
        min=0,
        max=1,
        help="Chance that a step leaves a key or value layer's LoRA out.",
        rich_help_panel=FUSION,
    ),
]
AccuracyOption = Annotated[
    float,
    typer.Option(
        min=1e-7,
        max=0.1,
        help="What coding the moments may cost a fusion; finer takes more bytes.",
        rich_help_panel=RESULT,
    ),
]
ActivationsOption = Annotated[
    Activations,
    typer.Option(
        help="Send moments, or raw inputs: gigabytes, reduced on arrival.",
        rich_help_panel=RESULT,
    ),
]
WorkOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="State and samples meanwhile (PKG.work).", rich_help_panel=RESULT
    ),
]
RestartOption = Annotated[
    bool,
    typer.Option("--restart", help="Forget an earlier run's state.", rich_help_panel=RESULT),
]
