"""`mos-center backup` and `mos-center restore`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from mos_center import backup as backups
from mos_center.cli.edge import console, errors
from mos_center.cli.options import Data
from mos_center.opening import OpenedData, only_server
from mos_center.settings import load_settings

Folder = Annotated[Path, typer.Argument(help="Folder of the backup", metavar="DIR")]


def backup(
    folder: Folder,
    data: Data = None,
    blobs: Annotated[
        bool, typer.Option("--blobs/--no-blobs", help="Copy the store's files too")
    ] = True,
) -> None:
    """Back up database and blobs while the center runs; again into DIR adds only what is new."""
    with _opened(data) as found, _progress("copying blobs") as on_blob:
        manifest = backups.backup(
            found.database, found.blobs, folder, with_blobs=blobs, on_blob=on_blob
        )
    console.print(f"{escape(str(folder))}: {_told(manifest)}", soft_wrap=True)
    if manifest.blobs is None:
        console.print("Blobs are not in it: back up the store by its own means.", soft_wrap=True)


def restore(folder: Folder, data: Data = None) -> None:
    """Put a backup into an empty center; every hash and the audit log are checked."""
    with (
        only_server(load_settings(os.environ, data=data)),
        _opened(data) as found,
        _progress("restoring blobs") as on_blob,
    ):
        manifest = backups.restore(found.database, found.blobs, folder, on_blob=on_blob)
        bases = [base for base in found.center().bases.all() if not base.path.is_dir()]
    console.print(f"Restored: {_told(manifest)}. Its audit log is whole.", soft_wrap=True)
    for base in bases:
        # Base models are public and large: they are no part of a backup.
        console.print(f"Put base {base.name} back to {escape(str(base.path))}.", soft_wrap=True)


@contextmanager
def _opened(data: Path | None) -> Iterator[OpenedData]:
    """The data as it is: a backup is made before an upgrade too, and restored where nothing is."""
    found = OpenedData(load_settings(os.environ, data=data))
    try:
        yield found
    finally:
        found.database.close()


@contextmanager
def _progress(told: str) -> Iterator[backups.OnBlob]:
    with Progress(console=errors, transient=True) as progress:
        task = progress.add_task(told, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _told(manifest: backups.BackupManifest) -> str:
    blobs = manifest.blobs or {}
    size = sum(blobs.values()) / 1e6
    return (
        f"{manifest.database} of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{len(blobs)} blobs ({size:.1f} MB), audit log up to {manifest.audit.split(':')[0]}"
    )
