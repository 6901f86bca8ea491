"""Sheets of an evaluation's pictures: a row per prompt, a column per seed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mos_diffusion.evaluation.alignment import Picture, open_picture
from mos_diffusion.provenance import save_picture, shared_provenance

TILE = 128
COLUMNS = 10
_LABEL = 220
_HEAD = 18
_CHARACTERS = 34


def draw_grid(
    pictures: Sequence[Sequence[Picture]],
    prompts: Sequence[str],
    seeds: Sequence[int],
    path: Path,
) -> Path:
    """Write the first `COLUMNS` seeds of every prompt, small, as a PNG; returns `path`."""
    columns = min(COLUMNS, len(seeds))
    tile = min(TILE, open_picture(pictures[0][0]).width)
    height = max(tile, 64)
    size = (_LABEL + columns * tile, _HEAD + len(prompts) * height)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for column in range(columns):
        draw.text((_LABEL + column * tile + 4, 3), f"seed {seeds[column]}", "black", font)
    for row, (prompt, made) in enumerate(zip(prompts, pictures, strict=True)):
        top = _HEAD + row * height
        text = "\n".join(textwrap.wrap(prompt, _CHARACTERS)[:4])
        draw.multiline_text((4, top + 4), text, "black", font)
        for column, picture in enumerate(made[:columns]):
            sheet.paste(_small(picture, tile), (_LABEL + column * tile, top))
    save_picture(sheet, path, shared_provenance(one for row in pictures for one in row[:columns]))
    return path


def _small(picture: Picture, tile: int) -> Image.Image:
    opened = open_picture(picture)
    if opened.size == (tile, tile):
        return opened
    return opened.resize((tile, tile), Image.Resampling.LANCZOS)
