"""A published version as a folder that pipelines load, put together from the store's files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mos_center.domain.models import ModelVersion
from mos_center.domain.ports import BlobStore

_INDEX = "model_index.json"
# What a pipeline is loaded from; a version's exports may be as large again.
_COMPONENTS = frozenset({"scheduler", "text_encoder", "tokenizer", "unet", "vae"})


def version_folder(version: ModelVersion, blobs: BlobStore, folder: Path) -> Path:
    """Have in `folder` what a pipeline needs of the version; files that are there are kept.

    Where that works, files are linked and take no room. Raises `NotFound` when one is not in the
    store.
    """
    for file in version.files:
        if file.path != _INDEX and file.path.partition("/")[0] not in _COMPONENTS:
            continue
        place = folder / file.path
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            with blobs.local_path(file.sha256) as path:
                _put(path, place)
    return folder


def _put(path: Path, place: Path) -> None:
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    try:
        os.link(path, partial)
    except OSError:
        shutil.copyfile(path, partial)
    partial.replace(place)
