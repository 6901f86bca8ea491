"""`mos-center gc`."""

from __future__ import annotations

from typing import Annotated

import typer

from mos_center.cli.edge import console
from mos_center.cli.options import Data, opened_data
from mos_center.domain.access import LOCAL


def collect_garbage(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed")
    ] = False,
    data: Data = None,
) -> None:
    """Remove files that nothing refers to, and uploads that nobody went on with.

    Only what is older than MOS_UPLOAD_GRACE_HOURS. Model versions that nobody points at expire
    after MOS_RETENTION_DAYS, pictures of compositions after MOS_COMPOSITIONS_KEEP_DAYS. The center
    may go on serving meanwhile.
    """
    with opened_data(data) as found:
        garbage = found.garbage().collect(caller=LOCAL, dry_run=dry_run)
    verb = "would be removed" if dry_run else "removed"
    console.print(
        f"{garbage.blobs} files ({garbage.bytes / 1e6:.1f} MB) and {garbage.uploads} unfinished "
        f"transfers {verb}, {garbage.submissions} abandoned submissions "
        f"{'would be ' if dry_run else ''}rejected."
    )
    if garbage.expired or garbage.released:
        would = "would be " if dry_run else ""
        console.print(
            f"{garbage.expired} model versions {would}expired, files of {garbage.released} "
            f"tombstoned ones {would}let go."
        )
    if garbage.compositions:
        would = "would be " if dry_run else ""
        console.print(f"Pictures of {garbage.compositions} compositions {would}let go.")
    if garbage.answers or garbage.events:
        console.print(f"{garbage.answers} remembered answers and {garbage.events} events dropped.")
