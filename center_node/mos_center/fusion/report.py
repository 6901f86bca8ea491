"""What a fusion says of itself: per layer how well it fits, per concept how much it keeps.

f is the plain objective of `problem`, 0 at the base. A residual is a squared error on the
concepts' own inputs, relative to the base's: 1 is the base, 0 is perfect. A concept keeps
1 − its residual.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from mos_protocol.layer_map import Part

from mos_center.fusion.quality import Fit

FORMAT = "mos-fusion-report/2"
_WORST_PAIRS = 5


@dataclass(frozen=True)
class LayerReport:
    """One layer: objectives of average and result, norms of the delta, and every concept's fit.

    asked: f + asked is the summed squared error. largest_norm: the largest single concept's.
    ridge: λ as used; relative_ridge: λ over the mean diagonal of the curvature. condition: an
    upper bound of the condition number of what was factorised, 0 when nothing was.
    effective_rank: tr(G)² / ‖G‖². assumed: how many concepts have no moment of the input, and
    were taken to send what the others do.
    """

    layer: str
    part: Part
    rank: int
    average: float
    result: float
    asked: float
    norm: float
    largest_norm: float
    ridge: float = 0.0
    relative_ridge: float = 0.0
    condition: float = 0.0
    effective_rank: float = 0.0
    assumed: int = 0
    fits: tuple[Fit, ...] = ()

    @property
    def growth(self) -> float:
        """The delta's norm over the largest single concept's."""
        return self.norm / self.largest_norm if self.largest_norm else 0.0


@dataclass
class BlockReport:
    """A fused block: its layers, and the collisions of pairs (i, j), summed over layers.

    estimated: concepts whose moments were not read, so that their fits come from sketches.
    """

    name: str
    layers: list[LayerReport] = field(default_factory=list)
    collisions: dict[tuple[int, int], float] = field(default_factory=dict)
    estimated: set[int] = field(default_factory=set)

    def to_text(self) -> str:
        """The report as it is kept beside the block's delta."""
        pairs = [[i, j, value] for (i, j), value in sorted(self.collisions.items())]
        layers = [asdict(layer) for layer in self.layers]
        content = {"name": self.name, "layers": layers, "collisions": pairs}
        return json.dumps({**content, "estimated": sorted(self.estimated)})

    @classmethod
    def from_text(cls, text: str) -> BlockReport:
        """Read what `to_text` wrote."""
        content = json.loads(text)
        layers = [
            LayerReport(
                **{
                    **item,
                    "part": Part(item["part"]),
                    "fits": tuple(Fit(**fit) for fit in item["fits"]),
                }
            )
            for item in content["layers"]
        ]
        pairs = {(i, j): value for i, j, value in content["collisions"]}
        return cls(content["name"], layers, pairs, set(content["estimated"]))


@dataclass(frozen=True)
class Summary:
    """Layers taken together: residuals of average and result, and the largest growth."""

    layers: int
    average: float
    result: float
    growth: float


def summarise(layers: Sequence[LayerReport]) -> Summary:
    """Residuals weigh every layer by what the concepts asked of it."""
    asked = sum(layer.asked for layer in layers)
    return Summary(
        len(layers),
        residual(asked + sum(layer.average for layer in layers), asked),
        residual(asked + sum(layer.result for layer in layers), asked),
        max((layer.growth for layer in layers), default=0.0),
    )


def by_part(layers: Sequence[LayerReport]) -> dict[Part, list[LayerReport]]:
    """The layers of every part that has some."""
    found = {part: [layer for layer in layers if layer.part is part] for part in Part}
    return {part: own for part, own in found.items() if own}


def concept_residual(
    layers: Sequence[LayerReport], concept: int, *, average: bool = False
) -> float:
    """One concept's residual over some layers; 0 when it asked for nothing there."""
    fits = [fit for layer in layers for fit in layer.fits if fit.concept == concept]
    error = sum(fit.average if average else fit.result for fit in fits)
    return residual(error, sum(fit.asked for fit in fits))


def collisions(blocks: Sequence[BlockReport], concepts: int) -> list[tuple[int, int, float]]:
    """Pairs (i, j, share), worst first: what they take from each other, over what both asked."""
    asked = [0.0] * concepts
    for fit in (fit for block in blocks for layer in block.layers for fit in layer.fits):
        asked[fit.concept] += fit.asked
    total: dict[tuple[int, int], float] = {}
    for block in blocks:
        for pair, value in block.collisions.items():
            total[pair] = total.get(pair, 0.0) + value
    found = [
        (i, j, value / (asked[i] + asked[j]))
        for (i, j), value in total.items()
        if asked[i] + asked[j] > 0
    ]
    return sorted(found, key=lambda pair: (-pair[2], pair[:2]))


def report_json(
    blocks: Sequence[BlockReport],
    settings: dict[str, object],
    inputs: dict[str, object],
    refs: Sequence[str],
    warnings: Sequence[str],
) -> dict[str, object]:
    """The whole report as plain data; `inputs` says what was fused, `refs` names the concepts."""
    layers = [layer for block in blocks for layer in block.layers]
    return {
        "format": FORMAT,
        **inputs,
        "settings": settings,
        "warnings": list(warnings),
        "parts": {part.value: _summary_json(own) for part, own in by_part(layers).items()},
        "kept": {ref: _concept_json(layers, index) for index, ref in enumerate(refs)},
        "estimated": [refs[index] for index in sorted(set().union(*(b.estimated for b in blocks)))],
        "collisions": [
            {"concepts": [refs[i], refs[j]], "share": share}
            for i, j, share in collisions(blocks, len(refs))[: 10 * _WORST_PAIRS]
        ],
        "blocks": [block_json(block, refs) for block in blocks if block.layers],
        "layers": [_layer_json(layer, refs) for layer in layers],
    }


def block_json(block: BlockReport, refs: Sequence[str]) -> dict[str, object]:
    """One block's part of the report; `refs` names the concepts."""
    return {
        "block": block.name,
        **_summary_json(block.layers),
        "kept": {ref: 1 - concept_residual(block.layers, index) for index, ref in enumerate(refs)},
        "collisions": [
            {"concepts": [refs[i], refs[j]], "share": share}
            for i, j, share in collisions([block], len(refs))[:_WORST_PAIRS]
        ],
    }


def residual(error: float, asked: float) -> float:
    """error / asked; concepts that ask for nothing leave no error."""
    return max(0.0, error / asked) if asked > 0 else 0.0


def _summary_json(layers: Sequence[LayerReport]) -> dict[str, object]:
    summary = summarise(layers)
    return {
        "layers": summary.layers,
        "residual": {"base": 1.0, "average": summary.average, "result": summary.result},
        "largest_growth": summary.growth,
    }


def _concept_json(layers: Sequence[LayerReport], index: int) -> dict[str, object]:
    parts = by_part(layers)
    return {
        "result": 1 - concept_residual(layers, index),
        "average": 1 - concept_residual(layers, index, average=True),
        "parts": {part.value: 1 - concept_residual(own, index) for part, own in parts.items()},
    }


def _layer_json(layer: LayerReport, refs: Sequence[str]) -> dict[str, object]:
    return {
        "layer": layer.layer,
        "part": layer.part.value,
        "rank": layer.rank,
        "objective": {"base": 0.0, "average": layer.average, "result": layer.result},
        "residual": {
            "base": 1.0,
            "average": residual(layer.average + layer.asked, layer.asked),
            "result": residual(layer.result + layer.asked, layer.asked),
        },
        "norm": layer.norm,
        "largest_concept_norm": layer.largest_norm,
        "growth": layer.growth,
        "ridge": {"absolute": layer.ridge, "relative": layer.relative_ridge},
        "condition": layer.condition,
        "effective_rank": layer.effective_rank,
        "assumed": layer.assumed,
        "concepts": {
            refs[fit.concept]: {
                "asked": fit.asked,
                "average": residual(fit.average, fit.asked),
                "result": residual(fit.result, fit.asked),
            }
            for fit in layer.fits
        },
    }
