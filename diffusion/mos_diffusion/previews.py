"""Previews: what a concept's words look like, as one sheet of pictures side by side.

A package's previews and a fused model's come of the same prompt and seeds, to be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from mos_diffusion.base_model import BaseModel
from mos_diffusion.provenance import Provenance, save_picture
from mos_diffusion.sampling import GUIDANCE, sample

PREVIEW_SEEDS = (1, 2, 3, 4)
PREVIEW_STEPS = 20
# Previews are for the eye: four of these stay far below what a package may hold.
MAX_TILE = 256


def preview_prompt(trigger: str) -> str:
    """What is sampled to show the concept that prompts call `trigger`."""
    return f"a photo of a {trigger}"


def write_sheet(
    base: BaseModel,
    prompt: str,
    path: Path,
    seeds: Sequence[int],
    resolution: int,
    *,
    steps: int = PREVIEW_STEPS,
) -> Path:
    """Sample the prompt once per seed, with no negative prompt; write them side by side as PNG."""
    pictures = sample(
        base,
        prompt,
        seeds=seeds,
        negative_prompt="",
        steps=steps,
        height=resolution,
        width=resolution,
    )
    told = Provenance.of(base.published).model_copy(
        update={"prompt": prompt, "seeds": tuple(seeds), "steps": steps, "guidance": GUIDANCE}
    )
    save_picture(side_by_side(pictures), path, told)
    return path


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """One row of tiles, as large as the first picture but at most `MAX_TILE` a side."""
    tile = min(MAX_TILE, pictures[0].width)
    sheet = Image.new("RGB", (tile * len(pictures), tile))
    for number, picture in enumerate(pictures):
        if picture.size != (tile, tile):
            picture = picture.resize((tile, tile), Image.Resampling.LANCZOS)
        sheet.paste(picture, (number * tile, 0))
    return sheet
