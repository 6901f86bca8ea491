"""Sample pictures as one sheet, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mos_diffusion.base_model import BaseModel
from mos_diffusion.sampling import sample
from PIL import Image

# Previews are for the eye: four of these stay far below what a package may hold.
MAX_TILE = 256


def write_sheet(
    base: BaseModel,
    prompt: str,
    path: Path,
    seeds: Sequence[int],
    resolution: int,
    *,
    steps: int = 20,
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
    path.parent.mkdir(parents=True, exist_ok=True)
    side_by_side(pictures).save(path)
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
