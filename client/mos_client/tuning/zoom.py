"""Zoom augmentation: the crop small on a grey canvas, or large and cut, and the caption says so.

The chances and bounds are those of Custom Diffusion's public code.
Legend: R resolution in pixels.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

FAR = ("far away", "very small")
NEAR = ("zoomed in", "close up")
_SHRINKING = 0.66
_FAR_BELOW = 0.6


@dataclass(frozen=True)
class Zoom:
    """A crop of R that is scaled to `side`, and where the smaller square lies in the larger."""

    side: int
    top: int
    left: int

    def apply(self, pixels: Tensor, mask: Tensor, margin: int = 0) -> tuple[Tensor, Tensor]:
        """Pixels (3, R, R) in -1…1 and mask (1, R, R) → the same sizes.

        The canvas never counts, nor does a `margin` in pixels where the autoencoder sees it too.
        """
        placed = self._placed(mask)
        if self.side < mask.shape[-1]:
            inner = mask.new_zeros(mask.shape)
            end = max(margin, self.side - margin)
            rows, columns = (slice(at + margin, at + end) for at in (self.top, self.left))
            inner[:, rows, columns] = 1
            placed = placed * inner
        return self._placed(pixels), placed

    def _placed(self, image: Tensor) -> Tensor:
        resolution = image.shape[-1]
        size = (self.side, self.side)
        scaled = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        inner = min(self.side, resolution)
        place = (..., slice(self.top, self.top + inner), slice(self.left, self.left + inner))
        if self.side >= resolution:
            return scaled[place]
        canvas = image.new_zeros(image.shape)
        canvas[place] = scaled
        return canvas

    def phrases(self, resolution: int) -> tuple[str, ...]:
        """What a caption may say of it; nothing when it hardly changes the size."""
        if self.side < _FAR_BELOW * resolution:
            return FAR
        return NEAR if self.side > resolution else ()


def draw_zoom(rng: random.Random, resolution: int) -> Zoom:
    """A third of R to R two times in three, else 1.2 to 1.4 of it."""
    if rng.random() < _SHRINKING:
        side = rng.randint(resolution // 3, resolution)
    else:
        side = rng.randint(int(1.2 * resolution), int(1.4 * resolution) - 1)
    free = abs(resolution - side)
    return Zoom(side, rng.randint(0, free), rng.randint(0, free))
