"""Photos of several shapes, settings of a short protection, and a tiny base to run it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mos_client.protecting import ProtectionSettings
from mos_client.tuning import LearningRates
from mos_diffusion.base_model import BaseModel, load_base
from PIL import Image
from tiny_base import write_tiny_base

SIZES = {"square.png": (32, 32), "wide.jpg": (90, 60), "small.png": (20, 24)}


def draw_photo(size: tuple[int, int], seed: int) -> Image.Image:
    """Random patches of colour, black and white ones among them."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    patches[0, 0], patches[3, 3] = 0, 255
    return Image.fromarray(patches).resize(size, Image.Resampling.NEAREST)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A square photo, a wide one larger than the base, and one smaller than it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
        draw_photo(size, seed).save(folder / name)
    (folder / "square.txt").write_text("a photo of a <TOK> on the beach")
    return folder


@pytest.fixture(scope="session")
def tiny_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_base(tiny_base_folder: Path) -> BaseModel:
    """One base for all tests: each leaves it as it was."""
    return load_base(tiny_base_folder)


@pytest.fixture
def make_settings(tiny_base_folder: Path) -> Callable[..., ProtectionSettings]:
    """Settings of a short protection on the tiny base, with what a test changes."""

    def make(**changes: object) -> ProtectionSettings:
        fields: dict = {
            "base": str(tiny_base_folder),
            "class_word": "dog",
            "rounds": 2,
            "learn_steps": 1,
            "perturb_steps": 2,
            "batch_size": 2,
            "rank": 1,
            "learning_rates": LearningRates(1e-2, 1e-3, 1e-3),
            "seed": 5,
            "device": "cpu",
            "save_every": 1,
        }
        return ProtectionSettings(**(fields | changes))

    return make
