"""Where a package goes: a folder that is whole or absent, whatever interrupts its making."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mos_protocol.errors import Conflict, InvalidPackage
from mos_protocol.manifest import Manifest, read_manifest

from mos_client.tuning.state import sync_file


def check_destination(out: Path, concept: str, *, overwrite: bool) -> None:
    """Raise `Conflict` when no package of `concept` could be put at `out`."""
    found = _package_at(out)
    if found is not None and found.concept != concept and not overwrite:
        raise Conflict(
            f"{out} has a package of {found.concept}.",
            hint="Name another folder, or replace it with --overwrite.",
        )


def fresh_folder(out: Path) -> Path:
    """An empty folder beside `out`; what an interrupted build left behind is put right."""
    folder, replaced = _beside(out, "partial"), _beside(out, "replaced")
    if replaced.exists() and not out.exists():
        os.replace(replaced, out)
    for leftover in (folder, replaced):
        if leftover.exists():
            shutil.rmtree(leftover)
    folder.mkdir(parents=True)
    return folder


def move_into_place(folder: Path, out: Path, manifest: Manifest, *, overwrite: bool) -> None:
    """Rename the checked `folder` to `out`, in place of the same package or, if told, another.

    Raises `Conflict` (and removes `folder`) when `out` may not be replaced.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            sync_file(path)
    found = _package_at(out)
    if found is None:
        os.replace(folder, out)
        return
    if found.digest() != manifest.digest() and not overwrite:
        shutil.rmtree(folder)
        raise Conflict(
            f"{out} has another package of {found.concept}.",
            hint="Name another folder, or replace it with --overwrite.",
        )
    replaced = _beside(out, "replaced")
    os.replace(out, replaced)
    os.replace(folder, out)
    shutil.rmtree(replaced)


def _beside(out: Path, what: str) -> Path:
    return out.parent / f".{out.name}.{what}"


def _package_at(out: Path) -> Manifest | None:
    """The package at `out`, None when the place is free; raise `Conflict` for anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        return read_manifest(out)
    except InvalidPackage:
        raise Conflict(
            f"{out} exists and is no concept package.", hint="Name another folder."
        ) from None
