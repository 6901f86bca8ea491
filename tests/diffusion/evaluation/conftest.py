"""A tiny CLIP, prompts that its vocabulary knows, and a case to evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest
from mos_diffusion.evaluation.alignment import Clip, load_clip
from mos_diffusion.evaluation.evaluating import ConceptCase
from mos_diffusion.evaluation.prompts import Prompt, PromptSet
from PIL import Image
from tiny_clip import write_tiny_clip

PROMPTS = PromptSet(
    "animal",
    (
        Prompt("a <TOK> on the beach", "recontextualization"),
        Prompt("a <TOK> in the grass", "recontextualization"),
        Prompt("a red <TOK>", "property_modification"),
    ),
)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return load_clip(write_tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Three pictures that differ, with one side longer."""
    folder = tmp_path_factory.mktemp("noise")
    for number, strength in enumerate((10, 60, 120)):
        picture = Image.effect_noise((48, 32), strength).convert("RGB")
        picture.save(folder / f"{number}.png")
    return tuple(sorted(folder.glob("*.png")))


@pytest.fixture
def case(noise: tuple[Path, ...]) -> ConceptCase:
    return ConceptCase("ada/potter", "<potter1> <potter2>", "man", PROMPTS, noise)
