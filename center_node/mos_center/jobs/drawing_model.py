"""The published version that a worker drew with last, kept in memory for the next scene."""

from __future__ import annotations

import shutil
from pathlib import Path

from mos_diffusion.base_model import BaseModel, load_base
from mos_diffusion.published_identity import PublishedIdentity

from mos_center.domain.models import ModelVersion
from mos_center.domain.ports import BlobStore
from mos_center.fusion.parallel import compute_device
from mos_center.jobs.version_folder import version_folder


class DrawingModel:
    """Loads versions from the store, one at a time; `work` takes their files meanwhile."""

    def __init__(self, blobs: BlobStore, work: Path) -> None:
        self._blobs = blobs
        self._work = work
        self._loaded: tuple[str, BaseModel] | None = None

    def of(self, version: ModelVersion) -> BaseModel:
        """The version, ready to draw; raises what the store and `load_base` raise."""
        if self._loaded is not None and self._loaded[0] == version.build:
            return self._loaded[1]
        # The last one goes first: there may be no room for two.
        self._loaded = None
        folder = self._work / "model"
        # A worker that was killed left it behind.
        shutil.rmtree(folder, ignore_errors=True)
        try:
            version_folder(version, self._blobs, folder)
            model = load_base(folder, device=compute_device())
            # Not as its files say: those of old versions don't.
            names = tuple(f"{item.name}@{item.version}" for item in version.concepts)
            model.published = PublishedIdentity(version.build, names)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._loaded = version.build, model
        return model
