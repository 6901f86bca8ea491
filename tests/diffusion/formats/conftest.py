"""Published models: three random concepts fused on the tiny base, two on other bases."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mos_diffusion.formats import EXPORTS, export
from other_bases import write_tiny_v2, write_tiny_xl
from published_models import TESTS, published
from stock_pipelines import open_folder
from tiny_base import write_tiny_base

WORLD = TESTS.parent / "examples" / "tinyworld" / "model"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """A model whose ranks differ between blocks."""
    folder = tmp_path_factory.mktemp("tiny")
    base = write_tiny_base(folder / "base")
    return published(folder, base, [None, "down_blocks.1", "mlp"])


@pytest.fixture(scope="session")
def worlds(tmp_path_factory) -> dict[str, SimpleNamespace]:
    """A model on the demo's pretrained base, as it is in float16, and in float32."""
    folder = tmp_path_factory.mktemp("worlds")
    open_folder(WORLD).save_pretrained(folder / "base")
    bases = {"float16": WORLD, "float32": folder / "base"}
    return {name: published(folder / name, base, [None, "ff."]) for name, base in bases.items()}


@pytest.fixture(scope="session")
def generations(tmp_path_factory) -> dict[str, SimpleNamespace]:
    """A model of each other generation: v2 and xl."""
    folder = tmp_path_factory.mktemp("generations")
    bases = {"v2": write_tiny_v2(folder / "v2"), "xl": write_tiny_xl(folder / "xl")}
    return {
        name: published(folder / f"{name}-fused", base, [None, "attn1"])
        for name, base in bases.items()
    }


@pytest.fixture(scope="session")
def exported(tiny, tmp_path_factory) -> dict[tuple[str, str], Path]:
    """(format, dtype) → the folder of the tiny model's export."""
    out = tmp_path_factory.mktemp("exports")
    folders = {
        (name, dtype): out / f"{name}-{dtype}"
        for name in EXPORTS
        for dtype in ("float16", "float32")
    }
    for (name, dtype), folder in folders.items():
        export(tiny.model, name, folder, dtype)
    return folders
