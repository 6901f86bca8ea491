"""A version's quality as pages show it: as many concepts and layers as a reader can take in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mos_center.domain.quality import Collision, Kept, LayerQuality, Quality, least_kept

MOST_CONCEPTS = 40
_MOST_CELLS = 1600
_MOST_COLLISIONS = 10
_UNET = "unet."

Row = tuple[str, list[float | None]]


@dataclass(frozen=True)
class QualityView:
    """What a version's page shows: the concepts that keep least, and how many are left out."""

    quality: Quality
    kept: tuple[Kept, ...]
    hidden: int

    @property
    def columns(self) -> list[str]:
        """The blocks, as the heat map heads its columns."""
        return [block.name.removeprefix(_UNET) for block in self.quality.blocks]

    @property
    def rows(self) -> list[Row]:
        """What each shown concept keeps in each block."""
        blocks = self.quality.blocks
        return [(item.ref, [block.kept.get(item.ref) for block in blocks]) for item in self.kept]

    @property
    def collisions(self) -> Sequence[Collision]:
        """The pairs that lose most to each other."""
        return self.quality.collisions[:_MOST_COLLISIONS]


@dataclass(frozen=True)
class LayersView:
    """A part of a block's layers, for the concepts that keep least in this block.

    `next_layer` is how many layers come before the next part, None when this is the last.
    """

    block: str
    layers: tuple[LayerQuality, ...]
    refs: tuple[str, ...]
    hidden: int
    next_layer: int | None

    def label(self, layer: LayerQuality) -> str:
        """The layer's name within its block."""
        return layer.name.removeprefix(f"{self.block}.")


def quality_view(quality: Quality) -> QualityView:
    """What of it fits on a page."""
    kept = least_kept(quality.kept, MOST_CONCEPTS)
    return QualityView(quality, kept, len(quality.kept) - len(kept))


def layers_view(
    quality: Quality, block: str, layers: Sequence[LayerQuality], start: int
) -> LayersView:
    """The layers from `start` on that fit on a page."""
    found = next((item for item in quality.blocks if item.name == block), None)
    shares = found.kept if found else {}
    refs = tuple(sorted(sorted(shares, key=shares.__getitem__)[:MOST_CONCEPTS]))
    end = start + max(1, _MOST_CELLS // max(1, len(refs)))
    return LayersView(
        block=block,
        layers=tuple(layers[start:end]),
        refs=refs,
        hidden=len(shares) - len(refs),
        next_layer=end if end < len(layers) else None,
    )
