"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mos_center.opening import OpenedData, opened
from mos_center.settings import load_settings

Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder of database, blobs and jobs (MOS_DATA)  [default: mos-data]",
        show_default=False,
    ),
]


@contextmanager
def opened_data(data: Path | None) -> Iterator[OpenedData]:
    """Open the data folder that the options and the environment name."""
    with opened(load_settings(os.environ, data=data)) as found:
        yield found
