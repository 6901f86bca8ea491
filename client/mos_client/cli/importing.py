"""`import`: from another tool's LoRA to a concept package, and to the center if asked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import parse_words

from mos_client.cli.concepts import VisibilityOption
from mos_client.cli.invocation import (
    CenterOption,
    JsonOption,
    TokenOption,
    invocation,
)
from mos_client.cli.package_options import (
    ConsentOption,
    DescriptionOption,
    LicenceOption,
    OutOption,
    OverwriteOption,
    UploadOption,
)
from mos_client.cli.packages import finish
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tuning_base import (
    check_base,
    check_may_upload,
    check_words,
    registered_base,
)

WHAT = "What to import"
HOW = "What its words mean, and how it is recorded"


class Recording(StrEnum):
    """On what the second moments are recorded."""

    TEMPLATES = "templates"
    PAPER = "paper"
    DATA = "data"


def import_lora(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A LoRA of kohya's scripts, diffusers or PEFT."),
    ],
    base: Annotated[
        str,
        typer.Option(
            metavar="DIR|HUB_ID", help="The base model it was tuned on.", rich_help_panel=WHAT
        ),
    ],
    concept: Annotated[
        str,
        typer.Option(
            "--concept",
            "--name",
            metavar="OWNER/NAME",
            help="The concept's name.",
            rich_help_panel=WHAT,
        ),
    ],
    word: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help='Its words in prompts, such as "<ohwx> <cat>".',
            rich_help_panel=WHAT,
        ),
    ],
    class_word: Annotated[
        str | None,
        typer.Option(
            "--class-word",
            "--class",
            metavar="WORD",
            help="What it is: man, cat … (last word of a longer trigger).",
            rich_help_panel=WHAT,
        ),
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What called it in the other tool: one token per word.",
            rich_help_panel=HOW,
        ),
    ] = None,
    embedding: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A textual inversion (.safetensors): one row per word.",
            rich_help_panel=HOW,
        ),
    ] = None,
    skip_unsupported: Annotated[
        bool,
        typer.Option(
            "--skip-unsupported",
            help="Leave out modules that can't be fused.",
            rich_help_panel=HOW,
        ),
    ] = False,
    moments: Annotated[
        Recording | None,
        typer.Option(
            help="Record second moments on these (templates; data with --images).",
            rich_help_panel=HOW,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Pictures of it, with captions if you have.", rich_help_panel=HOW
        ),
    ] = None,
    passes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Times a picture is shown, or four templates are drawn.",
            rich_help_panel=HOW,
        ),
    ] = 6,
    seed: Annotated[int, typer.Option(help="Reproduces a recording.", rich_help_panel=HOW)] = 0,
    resolution: Annotated[
        int | None, typer.Option(help="Side in pixels (the base's own).", rich_help_panel=HOW)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1 … (a GPU if any).", rich_help_panel=HOW)
    ] = None,
    out: OutOption = None,
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
    """Make a concept package of a LoRA that another tool tuned."""
    call = invocation(context, center, token, as_json)
    check_words(concept, word)
    _check_files(file, embedding, images)
    check_base(call, base, upload=upload)
    if upload:
        check_may_upload(call, concept)
    registered = registered_base(call, base) if upload else None

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_client.importing import ImportSettings, import_concept

    recording = moments or (Recording.DATA if images else Recording.TEMPLATES)
    settings = ImportSettings(
        file=file,
        name=concept,
        words=parse_words(word),
        base=base,
        base_name=registered.name if registered else None,
        class_word=class_word,
        trigger=trigger,
        embedding=embedding,
        skip_unsupported=skip_unsupported,
        recording=recording.value,
        images=images,
        passes=passes,
        seed=seed,
        resolution=resolution,
        device=device,
        licence=licence,
        consent=consent,
        description=description,
        overwrite=overwrite,
    )
    package = out or Path(concept.replace("/", "-"))
    with ProgressLine("importing") as line:
        import_concept(settings, package, tell=line.say)
    finish(call, package, upload=upload, visibility=visibility)


def _check_files(file: Path, embedding: Path | None, images: Path | None) -> None:
    """Refuse places where nothing is before anything heavy is loaded."""
    for path in (file, embedding):
        if path is not None and not path.is_file():
            raise InvalidRequest(f"{path} is no file.", hint="Give a .safetensors file.")
    if images is not None and not images.is_dir():
        raise InvalidRequest(f"{images} is no folder.", hint="Give the folder with the pictures.")
