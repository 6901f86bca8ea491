"""Perturbations never leave the budget or the range of a pixel, and views let gradients through."""

from __future__ import annotations

import random
from pathlib import PurePath

import pytest
import torch
from mos_client.protecting.perturbing import Perturbations, draw_window, view
from mos_client.protecting.photos import Photo


def photo_of(pixels: torch.Tensor) -> Photo:
    return Photo(PurePath("a.png"), pixels, "a <TOK>", None)


def test_steps_end_at_the_budget_and_at_black_and_white():
    pixels = torch.tensor([0, 3, 128, 253, 255], dtype=torch.uint8).expand(3, 2, 5)
    perturbed = Perturbations([photo_of(pixels)], budget=4)
    for _ in range(12):
        perturbed.climb(0, torch.ones(3, 2, 5))
    assert perturbed.pixels(0)[0, 0].tolist() == [4, 7, 132, 255, 255]
    for _ in range(12):
        perturbed.climb(0, -torch.ones(3, 2, 5))
    assert perturbed.pixels(0)[0, 0].tolist() == [0, 0, 124, 249, 251]


def test_pixels_outside_the_window_stay():
    pixels = torch.full((3, 4, 8), 100, dtype=torch.uint8)
    perturbed = Perturbations([photo_of(pixels)], budget=3)
    before = perturbed.changes[0].clone()
    gradient = torch.zeros(3, 4, 8)
    gradient[:, :, :4] = 1
    perturbed.climb(0, gradient)
    assert torch.equal(perturbed.changes[0][:, :, 4:], before[:, :, 4:])
    assert not torch.equal(perturbed.changes[0][:, :, :4], before[:, :, :4])


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (50, 34), (9, 12)])
def test_a_view_has_the_bases_size_and_its_gradient_reaches_every_pixel_shown(size):
    pixels = torch.full((3, *size), 200.0, requires_grad=True)
    window = draw_window(pixels, random.Random(0))
    seen = view(pixels, window, 16)
    assert seen.shape == (3, 16, 16)
    assert torch.allclose(seen, torch.tensor(200 / 127.5 - 1), atol=1e-5)
    seen.sum().backward()
    side = min(size)
    inside = pixels.grad[:, window[0] : window[0] + side, window[1] : window[1] + side]
    assert (inside > 0).all()


def test_windows_reach_both_ends_of_a_wide_photo():
    rng = random.Random(0)
    windows = {draw_window(torch.zeros(3, 4, 7), rng) for _ in range(100)}
    assert windows == {(0, left) for left in range(4)}
