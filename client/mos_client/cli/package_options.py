"""What every command that writes a package can be told about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RESULT = "The package"
WHERE = "The center"

OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PKG", help="The package's folder (./OWNER-NAME).", rich_help_panel=RESULT
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace another package.", rich_help_panel=RESULT)
]
LicenceOption = Annotated[
    str, typer.Option(help="What others may do with it.", rich_help_panel=RESULT)
]
ConsentOption = Annotated[
    str, typer.Option(help="Who agreed to being shown.", rich_help_panel=RESULT)
]
DescriptionOption = Annotated[
    str, typer.Option(help="What it is, in a sentence.", rich_help_panel=RESULT)
]
UploadOption = Annotated[
    bool, typer.Option("--upload", help="Bring the package to the center.", rich_help_panel=WHERE)
]
