"""Published models of random concepts on any base."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

TESTS = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS / "center_node" / "fusion"))

from fused_models import weighted, write_concept
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_diffusion.base_folder import read_layer_map


def published(folder: Path, base: Path, drops: list[str | None]) -> SimpleNamespace:
    """base, model: folders; layers: the base's map.

    One concept for each entry of `drops`, without the LoRA of layers whose name contains it.
    """
    layers = read_layer_map(base)
    packages = [folder / f"package{seed}" for seed in range(len(drops))]
    for seed, (package, drop) in enumerate(zip(packages, drops, strict=True)):
        write_concept(package, layers, seed, drop=drop)
    fuse_local(base, weighted(packages), FusionSettings(), folder / "model")
    return SimpleNamespace(base=base, model=folder / "model", layers=layers)
