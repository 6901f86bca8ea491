"""Previews: one prompt, a picture per seed, side by side."""

from __future__ import annotations

import pytest
from mos_diffusion.previews import MAX_TILE, preview_prompt, side_by_side
from PIL import Image


def test_a_concept_is_shown_by_its_words() -> None:
    assert preview_prompt("<potter1> <potter2>") == "a photo of a <potter1> <potter2>"


@pytest.mark.parametrize(("side", "tile"), [(32, 32), (2 * MAX_TILE, MAX_TILE)])
def test_a_sheet_has_a_tile_per_picture_none_of_them_large(side: int, tile: int) -> None:
    red, blue = (Image.new("RGB", (side, side), colour) for colour in ("red", "blue"))

    sheet = side_by_side([red, blue])

    assert sheet.size == (2 * tile, tile)
    assert sheet.getpixel((tile - 1, 0)) == (255, 0, 0)
    assert sheet.getpixel((tile, 0)) == (0, 0, 255)
