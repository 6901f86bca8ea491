"""Where regions are on feature grids."""

from __future__ import annotations

import pytest
import torch
from mos_diffusion.region_grid import RegionGrid

CPU = torch.device("cpu")


def grid(*boxes, size=(64, 64), weights=None, factor=8, masks=None) -> RegionGrid:
    """Regions of boxes in a picture of `size`, width and height."""
    width, height = size
    if masks is None:
        masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    return RegionGrid(masks, boxes, weights or [1.0] * len(boxes), factor)


def cells(found: torch.Tensor, columns: int) -> list[str]:
    rows = found.unflatten(0, (-1, columns)).int().tolist()
    return ["".join(".#"[cell] for cell in row) for row in rows]


def test_a_box_takes_the_cells_that_lie_wholly_in_it():
    inside = grid((9, 0, 50, 33)).inside(64)[0]
    assert cells(inside, 8) == ["..####.."] * 4 + ["........"] * 4


@pytest.mark.parametrize("pixels", [64, 16, 4, 1])
def test_a_region_is_nowhere_lost_on_coarse_grids(pixels):
    inside = grid((24, 24, 40, 40), (2, 2, 7, 62)).inside(pixels)
    assert inside.any(1).all()


def test_on_a_coarse_grid_a_box_is_the_cell_of_its_middle():
    assert cells(grid((34, 40, 62, 60)).inside(4)[0], 2) == ["..", ".#"]


def test_grids_of_sizes_that_do_not_halve_are_rounded_up_as_the_unet_does():
    odd = grid((0, 0, 24, 8), size=(40, 24))
    assert cells(odd.inside(15)[0], 5) == ["###..", ".....", "....."]
    assert cells(odd.inside(6)[0], 3) == ["#..", "..."]


def test_a_mask_takes_cells_that_it_covers_by_half():
    masks = torch.zeros(1, 16, 32, dtype=torch.bool)
    masks[0, :4, :8] = True
    masks[0, 8:, 8:11] = True
    area = grid(None, size=(32, 16), masks=masks)
    assert cells(area.inside(8)[0], 4) == ["#...", "...."]
    assert cells(area.inside(2)[0], 2) == ["#."]


def test_a_mask_too_small_for_any_cell_has_the_one_that_it_covers_most():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, 10:12, 3:5] = True
    assert cells(grid(None, size=(16, 16), masks=masks).inside(4)[0], 2) == ["..", "#."]


def test_regions_share_a_pixel_by_weight_and_leave_the_rest_to_the_context():
    boxes = [(0, 0, 16, 8), (8, 0, 24, 8)]
    shares = grid(*boxes, size=(32, 8), weights=[3.0, 1.0]).shares(4, CPU)
    expected = torch.tensor([[0, 0, 0, 1], [1, 0.75, 0, 0], [0, 0.25, 1, 0]])
    torch.testing.assert_close(shares, expected)


def test_light_regions_mix_with_the_context():
    boxes = [(0, 0, 16, 8), (8, 0, 24, 8)]
    shares = grid(*boxes, size=(32, 8), weights=[0.5, 0.25]).shares(4, CPU)
    expected = torch.tensor([[0.5, 0.25, 0.75, 1], [0.5, 0.5, 0, 0], [0, 0.25, 0.25, 0]])
    torch.testing.assert_close(shares, expected)


def test_pixels_see_their_own_regions_and_what_is_in_none():
    boxes = [(0, 0, 16, 8), (8, 0, 24, 8)]
    groups = grid(*boxes, size=(32, 8)).groups(4, CPU)
    seen = {pixel: see.tolist() for pixels, see in groups for pixel in pixels.tolist()}
    assert seen == {0: [0, 1, 3], 1: [0, 1, 2, 3], 2: [1, 2, 3], 3: [0, 1, 2, 3]}
