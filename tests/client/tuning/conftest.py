"""A folder of pictures, settings and a tiny base to tune on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mos_client.tuning.settings import LearningRates, TuningSettings
from mos_diffusion.base_model import BaseModel, load_base
from PIL import Image, ImageDraw
from tiny_base import write_tiny_base

WORDS = ("<dot1>", "<dot2>")
CAPTIONS = ("a photo of <TOK>", "<TOK> on the beach", "a <TOK> in the grass", "photo of <TOK>")


def draw_picture(number: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A dot on a plain ground, another place and colour for every number."""
    picture = Image.new("RGB", size, (30 * number % 256, 90, 200 - 20 * number))
    left, top = 4 + number, 6
    box = (left, top, left + size[0] // 2, top + size[1] // 2)
    ImageDraw.Draw(picture).ellipse(box, (250, 40 * number % 256, 10))
    return picture


def write_pictures(folder: Path, count: int = 4, size: tuple[int, int] = (32, 32)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        draw_picture(number, size).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(CAPTIONS[number % 4] + "\nnever read\n")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four square pictures of the base's size, with captions."""
    return write_pictures(tmp_path / "photos")


@pytest.fixture
def wide_photos(tmp_path: Path) -> Path:
    """Four pictures in which a square crop can move."""
    return write_pictures(tmp_path / "wide", size=(48, 32))


@pytest.fixture(scope="session")
def tiny_base(tiny_base_folder: Path) -> BaseModel:
    """One base for all tests: each leaves it as it was."""
    return load_base(tiny_base_folder)


@pytest.fixture(scope="session")
def tiny_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def make_settings(tiny_base_folder: Path) -> Callable[..., TuningSettings]:
    """Settings of a short tuning on the tiny base, with what a test changes."""

    def make(**changes: object) -> TuningSettings:
        fields: dict = {
            "name": "ada/dot",
            "words": WORDS,
            "class_word": "dog",
            "base": str(tiny_base_folder),
            "rank": 2,
            "layers": "all",
            "steps": 4,
            "batch_size": 2,
            "learning_rates": LearningRates(1e-2, 1e-3, 1e-3),
            "embedding_norm_stop": None,
            "seed": 3,
            "device": "cpu",
            "save_every": 2,
        }
        return TuningSettings(**(fields | changes))

    return make
