"""Perturbations within a budget: whole steps of 1/255, so that files hold exactly what was found.

Legend: P photos, H W a photo's size, R the base's resolution in pixels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mos_client.protecting.photos import Photo


class Perturbations:
    """The photos, and for each what is added to it: (3, H, W) int8, at most `budget` either way."""

    def __init__(self, photos: Sequence[Photo], budget: int) -> None:
        self._photos = photos
        self._budget = budget
        self.changes = [torch.zeros_like(photo.pixels, dtype=torch.int8) for photo in photos]

    def pixels(self, number: int) -> Tensor:
        """The perturbed photo, (3, H, W) uint8."""
        return (self._photos[number].pixels.to(torch.int16) + self.changes[number]).byte()

    def climb(self, number: int, gradient: Tensor) -> None:
        """One step of 1/255 along the sign of a gradient (3, H, W), back into the budget."""
        moved = self.changes[number].to(torch.int16) + gradient.sign().cpu().to(torch.int16)
        original = self._photos[number].pixels.to(torch.int16)
        change = moved.clamp(-self._budget, self._budget)
        self.changes[number] = ((original + change).clamp(0, 255) - original).to(torch.int8)


def draw_window(pixels: Tensor, rng: random.Random) -> tuple[int, int]:
    """Top and left of a square as large as the photo (3, H, W) allows, as a tuner may crop it."""
    _, height, width = pixels.shape
    side = min(height, width)
    return rng.randint(0, height - side), rng.randint(0, width - side)


def view(pixels: Tensor, window: tuple[int, int], resolution: int) -> Tensor:
    """What a model sees of pixels (3, H, W) in 0…255: the square at R, (3, R, R) in −1…1.

    Differentiable, so that a change of the full photo is found that survives being scaled.
    """
    top, left = window
    side = min(pixels.shape[1:])
    square = pixels[:, top : top + side, left : left + side] / 127.5 - 1
    if side == resolution:
        return square
    size = (resolution, resolution)
    return F.interpolate(square[None], size, mode="bicubic", antialias=True)[0]
