"""Where the regions of a scene are on the feature grids of a UNet.

A box takes the cells that lie wholly in it, ceil(start) … floor(end), a mask those that it covers
by at least half; on grids too coarse for either, the one cell that holds most of it.
Legend: R regions, S pixels of a feature grid (h·w).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

# A UNet with more levels than this would shrink the largest scene to one pixel.
LEVELS = 12
Group = tuple[torch.Tensor, torch.Tensor]


@dataclass
class RegionGrid:
    """Regions as masks (R, height, width) of pixels, with their weights, and cells of `factor`.

    `boxes` holds the box of a region that has one, which is rounded exactly. What is computed for
    a grid and a device is kept.
    """

    masks: torch.Tensor
    boxes: Sequence[tuple[int, int, int, int] | None]
    weights: Sequence[float]
    factor: int

    def __post_init__(self) -> None:
        height, width = self.masks.shape[-2:]
        self._cells: dict[int, int] = {}
        for level in range(LEVELS):
            cell = self.factor << level
            self._cells.setdefault(-(-height // cell) * -(-width // cell), cell)
        self._inside: dict[int, torch.Tensor] = {}
        self._shares: dict[tuple[int, torch.device], torch.Tensor] = {}
        self._groups: dict[tuple[int, torch.device], list[Group]] = {}

    def inside(self, pixels: int) -> torch.Tensor:
        """Which regions each of the S pixels is in: (R, S) bool."""
        if pixels not in self._inside:
            cell = self._cells[pixels]
            rows = [self._covered(number, cell) for number in range(len(self.boxes))]
            self._inside[pixels] = torch.stack(rows).flatten(1)
        return self._inside[pixels]

    def shares(self, pixels: int, device: torch.device) -> torch.Tensor:
        """What the context and each region give a pixel: (1 + R, S) fp32, columns add up to 1.

        Regions share a pixel by their weights; the context has what they leave below 1.
        """
        if (pixels, device) not in self._shares:
            weights = torch.tensor(self.weights)[:, None] * self.inside(pixels)
            total = weights.sum(0)
            context = (1 - total).clamp(min=0)
            shares = torch.cat([context[None], weights / total.clamp(min=1)])
            self._shares[pixels, device] = shares.to(device)
        return self._shares[pixels, device]

    def groups(self, pixels: int, device: torch.device) -> list[Group]:
        """Pixels that are in the same regions, and the pixels that these may look at, as indices.

        Hidden from a pixel are pixels of other regions, unless they share one; outside of all
        regions everything is seen.
        """
        if (pixels, device) not in self._groups:
            inside = self.inside(pixels)
            kinds, kind_of = torch.unique(inside, dim=1, return_inverse=True)
            self._groups[pixels, device] = [
                (
                    torch.nonzero(kind_of == number).flatten().to(device),
                    torch.nonzero(_seen_by(kinds[:, number], inside)).flatten().to(device),
                )
                for number in range(kinds.shape[1])
            ]
        return self._groups[pixels, device]

    def _covered(self, number: int, cell: int) -> torch.Tensor:
        """The cells of one region, (h, w) bool, never none."""
        height, width = self.masks.shape[-2:]
        shape = -(-height // cell), -(-width // cell)
        box = self.boxes[number]
        if box is None:
            return _cells_of_mask(self.masks[number], cell, shape)
        cells = torch.zeros(shape, dtype=torch.bool)
        left, top, right, bottom = box
        cells[_span(top, bottom, cell), _span(left, right, cell)] = True
        return cells


def _span(start: int, end: int, cell: int) -> slice:
    first, last = -(-start // cell), end // cell
    if first < last:
        return slice(first, last)
    middle = (start + end) // 2 // cell
    return slice(middle, middle + 1)


def _cells_of_mask(mask: torch.Tensor, cell: int, shape: tuple[int, int]) -> torch.Tensor:
    area = F.avg_pool2d(mask[None].float(), cell, ceil_mode=True)[0]
    cells = area >= 0.5
    if not cells.any():
        cells.view(-1)[area.argmax()] = True
    return cells


def _seen_by(regions: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Pixels (S) that one in `regions` (R) may look at, all of them if it is in none."""
    if not regions.any():
        return torch.ones(inside.shape[1], dtype=torch.bool)
    shared = (inside & regions[:, None]).any(0)
    return shared | ~inside.any(0)
