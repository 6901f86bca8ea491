"""Fused models: the first n concepts of a recipe, fused as a study asks."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_diffusion import BaseModel, load_base
from mos_protocol.part_weights import PartWeights

from reproduction.recipes import Recipe
from reproduction.tuned import package
from reproduction.workspace import BASE, Workspace


@dataclass(frozen=True)
class Fusion:
    """How concepts are fused: settings, one weight for all, and which recording is read."""

    name: str
    settings: FusionSettings = field(default_factory=FusionSettings)
    weight: float = 1.0
    recording: str | None = None

    def folder(self, space: Workspace, recipe: Recipe, concepts: Sequence[str]) -> Path:
        """Where this model belongs: the same request, the same folder."""
        asked = [self.settings.to_json(), self.weight, self.recording, list(concepts)]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return space.root / "models" / f"{recipe.name}-{len(concepts)}-{digest[:12]}"


def fuse(space: Workspace, recipe: Recipe, concepts: Sequence[str], fusion: Fusion) -> Path:
    """The model's folder, fused now if it isn't there."""
    out = fusion.folder(space, recipe, concepts)
    weights = PartWeights.uniform(fusion.weight)
    packages = [(package(space, recipe, name, fusion.recording), weights) for name in concepts]
    space.once(
        out,
        lambda: fuse_local(BASE, packages, fusion.settings, out, space.prior_files),
    )
    return out


@contextmanager
def fused_model(
    space: Workspace, recipe: Recipe, concepts: Sequence[str], fusion: Fusion
) -> Iterator[BaseModel]:
    """The loaded model, whose folder is removed again: studies fuse hundreds."""
    folder = fuse(space, recipe, concepts, fusion)
    try:
        yield load_base(folder, device=space.device)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
