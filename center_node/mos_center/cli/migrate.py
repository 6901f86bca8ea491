"""`mos-center migrate`."""

from __future__ import annotations

import typer

from mos_center.cli.options import Data, opened_data
from mos_center.storage.migrations import revision_of


def migrate(data: Data = None) -> None:
    """Bring the database to the newest schema, made if needed, and print its revision."""
    # Opening does it; several processes may at once.
    with opened_data(data) as found:
        typer.echo(revision_of(found.database.engine))
