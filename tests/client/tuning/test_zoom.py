"""The zoom shows a crop smaller or larger, counts only what is picture, and says so."""

from __future__ import annotations

import random

import pytest
import torch
from mos_client.tuning.batches import Batches
from mos_client.tuning.dataset import read_dataset
from mos_client.tuning.zoom import FAR, NEAR, Zoom, draw_zoom

ONES = torch.ones(1, 32, 32)


def test_a_smaller_crop_lies_on_a_grey_canvas_that_does_not_count():
    pixels, mask = Zoom(16, 4, 8).apply(torch.ones(3, 32, 32), ONES)

    assert pixels.shape == (3, 32, 32)
    inside = torch.zeros(1, 32, 32, dtype=torch.bool)
    inside[:, 4:20, 8:24] = True
    assert torch.equal(mask.bool(), inside)
    assert torch.equal(pixels[:1], mask)


def test_what_the_autoencoder_mixes_with_the_canvas_does_not_count():
    _, mask = Zoom(16, 4, 8).apply(torch.ones(3, 32, 32), ONES, margin=4)

    inside = torch.zeros(1, 32, 32)
    inside[:, 8:16, 12:20] = 1
    assert torch.equal(mask, inside)
    _, nothing = Zoom(6, 0, 0).apply(torch.ones(3, 32, 32), ONES, margin=8)
    assert not nothing.any()


def test_a_larger_crop_is_cut():
    ramp = torch.linspace(-1, 1, 32).expand(3, 32, 32)

    pixels, mask = Zoom(40, 0, 8).apply(ramp, ONES)

    assert torch.equal(mask, ONES)
    assert pixels.shape == (3, 32, 32)
    assert pixels[0, 0, -1] == pytest.approx(1.0)
    assert pixels[0, 0, 0] > -1 + 2 * 7 / 40


def test_the_size_left_as_it_is_changes_nothing():
    pixels = torch.rand(3, 32, 32)

    found, mask = Zoom(32, 0, 0).apply(pixels, ONES)

    torch.testing.assert_close(found, pixels)
    assert torch.equal(mask, ONES)


@pytest.mark.parametrize(
    ("side", "expected"), [(10, FAR), (19, FAR), (20, ()), (32, ()), (33, NEAR), (44, NEAR)]
)
def test_only_a_size_that_shows_is_told(side, expected):
    assert Zoom(side, 0, 0).phrases(32) == expected


@pytest.mark.parametrize("resolution", [8, 64, 512])
def test_every_draw_fits(resolution):
    rng = random.Random(0)
    zooms = [draw_zoom(rng, resolution) for _ in range(300)]

    for zoom in zooms:
        free = abs(zoom.side - resolution)
        assert resolution // 3 <= zoom.side < 1.4 * resolution
        assert 0 <= zoom.top <= free
        assert 0 <= zoom.left <= free
    smaller = sum(zoom.side <= resolution for zoom in zooms) / len(zooms)
    assert smaller == pytest.approx(0.66, abs=0.1)


def test_captions_and_masks_of_a_batch_follow_the_zoom(tiny_base, make_settings, photos):
    settings = make_settings(zoom=True, batch_size=4)
    batches = Batches(tiny_base, read_dataset(photos, settings.words), settings, 32)
    found = [batches.batch(step) for step in range(8)]

    captions = [caption for batch in found for caption in batch.captions]
    masks = torch.cat([batch.mask for batch in found]).flatten(1).mean(1)
    told = [caption.startswith(FAR) for caption in captions]
    assert any(told)
    assert any(caption.startswith(NEAR) for caption in captions)
    assert not any(phrase in caption for caption in captions for phrase in ("<TOK>",))
    # Of a crop below 0.6 of the side, at most 0.36 of the canvas is picture.
    assert all(mask < 0.4 for mask, far in zip(masks.tolist(), told, strict=True) if far)
    assert torch.equal(found[0].latents, batches.batch(0).latents)
