"""What the report of a published version says, as values.

A residual is a squared error relative to the base's: 1 is the base, 0 is perfect. A concept keeps
1 − its residual. Versions that were published without a report have the empty `Quality`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# What `read_quality` reads: all of a report but its layers, which are most of its bytes.
SUMMARY = ("kept", "parts", "blocks", "collisions", "warnings", "estimated")


@dataclass(frozen=True)
class Kept:
    """What a concept, `owner/name@3`, keeps: fused, by plain averaging, and fused in each part."""

    ref: str
    result: float
    average: float
    parts: Mapping[str, float]


@dataclass(frozen=True)
class PartQuality:
    """Residuals of plain averaging and of the result; the largest growth of a layer's delta."""

    part: str
    layers: int
    average: float
    result: float
    growth: float


@dataclass(frozen=True)
class BlockQuality:
    """A block's residuals, and what each concept keeps in it."""

    name: str
    layers: int
    average: float
    result: float
    kept: Mapping[str, float]


@dataclass(frozen=True)
class LayerQuality:
    """A layer's residuals, and what each concept keeps in it; `assumed` have no moments of it."""

    name: str
    part: str
    rank: int
    average: float
    result: float
    growth: float
    assumed: int
    kept: Mapping[str, float]


@dataclass(frozen=True)
class Collision:
    """Two concepts, and the share of what both ask for that they lose to each other."""

    concepts: tuple[str, str]
    share: float


@dataclass(frozen=True)
class Quality:
    """A report but for its layers; concepts in the order of the fusion, worst collisions first."""

    kept: tuple[Kept, ...] = ()
    parts: tuple[PartQuality, ...] = ()
    blocks: tuple[BlockQuality, ...] = ()
    collisions: tuple[Collision, ...] = ()
    warnings: tuple[str, ...] = ()
    estimated: tuple[str, ...] = ()


def read_quality(report: Mapping[str, Any]) -> Quality:
    """Read a report, or its `SUMMARY` entries."""
    return Quality(
        kept=tuple(
            Kept(ref, item["result"], item["average"], item["parts"])
            for ref, item in report.get("kept", {}).items()
        ),
        parts=tuple(_part(name, item) for name, item in report.get("parts", {}).items()),
        blocks=tuple(_block(item) for item in report.get("blocks", ())),
        collisions=tuple(
            Collision((item["concepts"][0], item["concepts"][1]), item["share"])
            for item in report.get("collisions", ())
        ),
        warnings=tuple(report.get("warnings", ())),
        estimated=tuple(report.get("estimated", ())),
    )


def read_layers(report: Mapping[str, Any], block: str) -> tuple[LayerQuality, ...]:
    """The layers of one block, in their order; none when there is no such block."""
    start = 0
    for item in report.get("blocks", ()):
        # Layers don't name their block: they are listed in the order of the blocks.
        if item["block"] == block:
            return tuple(map(_layer, report["layers"][start : start + item["layers"]]))
        start += item["layers"]
    return ()


def least_kept(kept: Iterable[Kept], most: int) -> tuple[Kept, ...]:
    """At most so many concepts, those that keep least, in the order that they came in."""
    items = list(kept)
    chosen = {item.ref for item in sorted(items, key=lambda item: item.result)[:most]}
    return tuple(item for item in items if item.ref in chosen)


def _part(name: str, item: Mapping[str, Any]) -> PartQuality:
    residual = item["residual"]
    return PartQuality(
        name, item["layers"], residual["average"], residual["result"], item["largest_growth"]
    )


def _block(item: Mapping[str, Any]) -> BlockQuality:
    residual = item["residual"]
    return BlockQuality(
        item["block"], item["layers"], residual["average"], residual["result"], item["kept"]
    )


def _layer(item: Mapping[str, Any]) -> LayerQuality:
    residual = item["residual"]
    return LayerQuality(
        name=item["layer"],
        part=item["part"],
        rank=item["rank"],
        average=residual["average"],
        result=residual["result"],
        growth=item["growth"],
        assumed=item["assumed"],
        kept={ref: 1 - fit["result"] for ref, fit in item["concepts"].items()},
    )
