"""The tiny base, three packages for it, and their fusion by every solver."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fused_models import weighted, write_concept
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings, Solver
from mos_diffusion.base_model import layer_map, load_base
from tiny_base import write_tiny_base


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """base: the folder; layers: its layer map; packages: three folders, the last partial."""
    folder = tmp_path_factory.mktemp("tiny")
    base = write_tiny_base(folder / "base")
    layers = layer_map(load_base(base))
    packages = [folder / f"package{seed}" for seed in range(3)]
    for seed, package in enumerate(packages):
        write_concept(package, layers, seed, drop="down_blocks.1" if seed == 2 else None)
    return SimpleNamespace(base=base, layers=layers, packages=packages)


@pytest.fixture(scope="session")
def fused(tiny, tmp_path_factory) -> dict[str, Path]:
    """The model folder that each solver makes of the three packages, weights 1, 0.5 and 1.

    They change more than keys and values, which `custom-diffusion` refuses.
    """
    out = tmp_path_factory.mktemp("fused")
    packages = weighted(tiny.packages, (1.0, 0.5, 1.0))
    solvers = [solver for solver in Solver if solver is not Solver.CUSTOM_DIFFUSION]
    for solver in solvers:
        fuse_local(tiny.base, packages, FusionSettings(solver), out / solver.value)
    return {solver.value: out / solver.value for solver in solvers}
