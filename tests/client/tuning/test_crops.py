"""Crops are square, keep the subject and carry the mask of what counts."""

from __future__ import annotations

import random

import pytest
import torch
from mos_client.tuning.crops import prepare_picture
from mos_client.tuning.dataset import Picture
from PIL import Image


@pytest.fixture
def wide(tmp_path) -> Picture:
    """64x32, red in its right quarter."""
    picture = Image.new("RGB", (64, 32), (0, 0, 255))
    picture.paste((255, 0, 0), (48, 0, 64, 32))
    picture.save(tmp_path / "wide.png")
    return Picture(tmp_path / "wide.png", "a <TOK>", None, 1)


@pytest.fixture
def masked(wide, tmp_path) -> Picture:
    mask = Image.new("L", (64, 32))
    mask.paste(255, (48, 8, 64, 24))
    mask.save(tmp_path / "mask.png")
    return Picture(wide.path, wide.caption, tmp_path / "mask.png", 1)


def test_the_short_side_fits_and_the_window_moves_along_the_long_one(wide):
    prepared = prepare_picture(wide, 16, "random")

    windows = [prepared.window(random.Random(i), "random", flip=False) for i in range(60)]

    assert prepared.pixels.shape == (3, 16, 32)
    assert {window.top for window in windows} == {0}
    assert {window.left for window in windows} == set(range(17))


def test_pixels_are_scaled_to_minus_one_to_one(wide):
    prepared = prepare_picture(wide, 32, "center")

    pixels, mask = prepared.cut(prepared.window(random.Random(0), "center", flip=False))

    assert pixels.shape == (3, 32, 32)
    assert pixels[0].min() == -1
    assert pixels[2].max() == 1
    assert torch.equal(mask, torch.ones(1, 32, 32))


def test_a_random_window_never_loses_the_subject(masked):
    prepared = prepare_picture(masked, 32, "random")

    windows = [prepared.window(random.Random(i), "random", flip=False) for i in range(40)]

    assert {prepared.cut(window)[1].sum().item() for window in windows} == {16 * 16}
    assert {window.left for window in windows} == {32}


def test_padding_keeps_the_whole_picture_and_masks_the_border_out(wide):
    prepared = prepare_picture(wide, 32, "pad")

    pixels, mask = prepared.cut(prepared.window(random.Random(0), "pad", flip=False))

    assert pixels.shape == (3, 32, 32)
    assert mask[0].sum(1).tolist() == [0] * 8 + [32] * 16 + [0] * 8
    assert pixels[0, 16, 30] == 1


def test_flipping_mirrors_pixels_and_mask(masked):
    prepared = prepare_picture(masked, 32, "center")
    windows = [prepared.window(random.Random(i), "center", flip=True) for i in range(20)]
    plain, mirrored = (next(w for w in windows if w.mirrored is side) for side in (False, True))

    pixels, mask = prepared.cut(plain)
    flipped_pixels, flipped_mask = prepared.cut(mirrored)

    assert torch.equal(flipped_pixels, pixels.flip(-1))
    assert torch.equal(flipped_mask, mask.flip(-1))
    assert not torch.equal(flipped_mask, mask)


def test_what_lies_outside_the_mask_counts_as_much_as_asked(masked):
    prepared = prepare_picture(masked, 32, "center", unmasked_weight=0.25)
    assert prepared.mask.max() == 1
    assert prepared.mask.min() == pytest.approx(0.25, abs=1 / 255)
    assert prepared.subject == prepare_picture(masked, 32, "center").subject
