"""From a picture to what the VAE sees: scaled, cut to a square, with the mask of what counts.

Legend: R resolution in pixels.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mos_client.tuning.dataset import Picture, open_mask, open_rgb
from mos_client.tuning.settings import Crop
from mos_client.tuning.zoom import Zoom, draw_zoom


@dataclass(frozen=True)
class Window:
    """Where a crop lies in its prepared picture, whether it is mirrored, and its zoom if any."""

    top: int
    left: int
    mirrored: bool
    zoom: Zoom | None = None


@dataclass(frozen=True)
class PreparedPicture:
    """A picture scaled so that a square of R fits: pixels (3, H, W) uint8, mask (1, H, W) in 0…1.

    The mask is the subject's, or 1 wherever there is picture. `subject` bounds what it keeps:
    (left, top, right, bottom).
    """

    pixels: Tensor
    mask: Tensor
    subject: tuple[int, int, int, int]
    resolution: int

    def window(self, rng: random.Random, crop: Crop, *, flip: bool, zoom: bool = False) -> Window:
        """Choose a square: a random one keeps as much of the subject as it can hold."""
        left, top, right, bottom = self.subject
        _, height, width = self.pixels.shape
        random_crop = crop == "random"
        return Window(
            _offset(rng if random_crop else None, height, self.resolution, top, bottom),
            _offset(rng if random_crop else None, width, self.resolution, left, right),
            flip and rng.random() < 0.5,
            draw_zoom(rng, self.resolution) if zoom else None,
        )

    def cut(self, window: Window, margin: int = 0) -> tuple[Tensor, Tensor]:
        """The crop: pixels (3, R, R) fp32 in -1…1, and its mask (1, R, R).

        Where a zoom leaves a canvas, a `margin` in pixels beside it doesn't count.
        """
        rows = slice(window.top, window.top + self.resolution)
        columns = slice(window.left, window.left + self.resolution)
        pixels = self.pixels[:, rows, columns].float() / 127.5 - 1
        mask = self.mask[:, rows, columns]
        if window.mirrored:
            pixels, mask = pixels.flip(-1), mask.flip(-1)
        return window.zoom.apply(pixels, mask, margin) if window.zoom else (pixels, mask)


def prepare_picture(
    picture: Picture, resolution: int, crop: Crop, unmasked_weight: float = 0.0
) -> PreparedPicture:
    """Scale the short side to R; with `crop="pad"` the long one, and pad with grey.

    `unmasked_weight` is what the picture outside its subject mask counts; padding never counts.
    """
    rgb, alpha = open_rgb(picture.path)
    mask = open_mask(picture, alpha) or Image.new("L", rgb.size, 255)
    side = max(rgb.size) if crop == "pad" else min(rgb.size)
    width, height = (max(1, round(length * resolution / side)) for length in rgb.size)
    if rgb.size != (width, height):
        rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
        mask = mask.resize((width, height), Image.Resampling.BOX)
    counted = mask.point(
        [round(255 * unmasked_weight + v * (1 - unmasked_weight)) for v in range(256)]
    )
    if crop == "pad":
        rgb = _pad(rgb, resolution, (127, 127, 127))
        mask, counted = _pad(mask, resolution, 0), _pad(counted, resolution, 0)
    subject = mask.getbbox() or (0, 0, *rgb.size)
    pixels = torch.from_numpy(np.asarray(rgb).copy()).permute(2, 0, 1).contiguous()
    kept = torch.from_numpy(np.asarray(counted, dtype=np.float32) / 255)[None]
    return PreparedPicture(pixels, kept, subject, resolution)


def centred_pixels(prepared: PreparedPicture) -> Tensor:
    """The middle crop, (3, R, R) in -1…1: the same in every run."""
    return prepared.cut(prepared.window(random.Random(0), "center", flip=False))[0]


def _pad(picture: Image.Image, side: int, colour: int | tuple[int, ...]) -> Image.Image:
    square = Image.new(picture.mode, (side, side), colour)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def _offset(rng: random.Random | None, length: int, side: int, low: int, high: int) -> int:
    """Start of a stretch of `side` in `length` that covers `low…high`, or lies inside it."""
    free = length - side
    if free <= 0:
        return 0
    first, last = sorted((low, high - side))
    first, last = max(0, min(first, free)), max(0, min(last, free))
    return rng.randint(first, last) if rng else (first + last) // 2
