"""Putting pictures side by side."""

from __future__ import annotations

import pytest
from mos_client.sampling import grid
from PIL import Image


@pytest.mark.parametrize(
    ("count", "size"), [(1, (4, 6)), (2, (8, 6)), (3, (8, 12)), (5, (12, 12)), (9, (12, 18))]
)
def test_a_grid_is_near_to_a_square(count, size):
    assert grid([Image.new("RGB", (4, 6))] * count).size == size


def test_pictures_lie_row_by_row():
    sheet = grid([Image.new("RGB", (1, 1), (shade, 0, 0)) for shade in (10, 20, 30)])
    assert [sheet.getpixel(at)[0] for at in ((0, 0), (1, 0), (0, 1))] == [10, 20, 30]
