"""`export`: a pulled model in the formats that other tools open."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mos_client.cli.fusions import Export
from mos_client.cli.invocation import JsonOption, invocation
from mos_client.cli.progress import ProgressLine
from mos_client.cli.tables import size, table


class Precision(StrEnum):
    """How many bits a number has."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


def export(
    context: typer.Context,
    model: Annotated[
        Path, typer.Argument(metavar="DIR", help="A model folder: what `mos-client pull` made.")
    ],
    to: Annotated[Export, typer.Option("--format", help="What to write; see above.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder to make (./DIR-FORMAT).")
    ] = None,
    dtype: Annotated[
        Precision, typer.Option(help="Half of the size, or no rounding.")
    ] = Precision.FLOAT16,
    as_json: JsonOption = False,
) -> None:
    """Write a model in a format of another tool, and load it back to be sure.

    diffusers-lora: for pipe.load_lora_weights on the base model.

    kohya-lora: for ComfyUI, A1111 and Forge, on the base model.

    single-file: the whole model as one checkpoint, for ComfyUI, A1111 and Forge.

    The concepts' words lie beside each, as textual inversions.
    """
    call = invocation(context, None, None, as_json)
    folder = out or Path(f"{model.resolve().name}-{to.value}")

    from mos_client.loading import hush_libraries

    hush_libraries()

    from mos_diffusion.formats import export as write_export

    with ProgressLine("exporting"):
        files = write_export(model, to.value, folder, dtype.value)
    found = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]
    rows = [(name, size(length)) for name, length in found]
    document = {
        "format": to.value,
        "folder": str(folder),
        "files": [{"path": name, "size": length} for name, length in found],
    }
    text = f"{table(('FILE', 'SIZE'), rows, '')}\n\nLoaded back and compared: {folder} is sound."
    call.print(document, text)
