"""What a fusion says of itself: per layer how well it fits and how large it is.

f is the plain objective of `problem`, 0 at the base. Its residual is the summed squared error of
all concepts on their own inputs, relative to the base's: 1 is the base, 0 is perfect.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mos_protocol.layer_map import Part

FORMAT = "mos-fusion-report/1"
# Far larger than any concept's own update means an exact fit to nearly collinear inputs, which
# ruins every input that was not recorded.
# Up to 13-fold was measured on tinyworld where the concepts kept most of their identity.
NORM_WARNING = 30.0


@dataclass(frozen=True)
class LayerReport:
    """One layer: objective of the plain average and of the result, and norms of the delta.

    asked: f + asked is the summed squared error. largest_norm: the largest single concept's.
    """

    layer: str
    part: Part
    rank: int
    average: float
    result: float
    asked: float
    norm: float
    largest_norm: float

    @property
    def exploded(self) -> bool:
        """Whether the delta is suspiciously large."""
        return self.norm > NORM_WARNING * self.largest_norm


@dataclass(frozen=True)
class PartSummary:
    """A part's layers taken together: residuals of average and result, and the largest growth."""

    part: Part
    layers: int
    average: float
    result: float
    growth: float


def summarise(layers: Sequence[LayerReport]) -> list[PartSummary]:
    """One summary per part that has layers."""
    found = []
    for part in Part:
        own = [layer for layer in layers if layer.part is part]
        if own:
            asked = sum(layer.asked for layer in own)
            found.append(
                PartSummary(
                    part,
                    len(own),
                    _residual(sum(layer.average for layer in own), asked),
                    _residual(sum(layer.result for layer in own), asked),
                    max((la.norm / la.largest_norm for la in own if la.largest_norm), default=0.0),
                )
            )
    return found


def warnings(layers: Sequence[LayerReport]) -> list[str]:
    """A sentence for every layer whose delta exploded."""
    return [
        f"{layer.layer}: the delta's norm is {layer.norm:.3g}, the largest single concept's "
        f"{layer.largest_norm:.3g}; raise ridge.{layer.part}"
        for layer in layers
        if layer.exploded
    ]


def report_json(
    layers: Sequence[LayerReport], settings: dict[str, object], inputs: dict[str, object]
) -> dict[str, object]:
    """The whole report as plain data; `inputs` says what was fused."""
    return {
        "format": FORMAT,
        **inputs,
        "settings": settings,
        "warnings": warnings(layers),
        "parts": {
            summary.part.value: {
                "layers": summary.layers,
                "residual": {"base": 1.0, "average": summary.average, "result": summary.result},
                "largest_growth": summary.growth,
            }
            for summary in summarise(layers)
        },
        "layers": [_layer_json(layer) for layer in layers],
    }


def to_text(layers: Sequence[LayerReport]) -> str:
    """The layers as they are kept beside a block's delta."""
    return json.dumps([asdict(layer) for layer in layers])


def from_text(text: str) -> list[LayerReport]:
    """Read what `to_text` wrote."""
    return [LayerReport(**{**item, "part": Part(item["part"])}) for item in json.loads(text)]


def _layer_json(layer: LayerReport) -> dict[str, object]:
    return {
        "layer": layer.layer,
        "part": layer.part.value,
        "rank": layer.rank,
        "objective": {"base": 0.0, "average": layer.average, "result": layer.result},
        "residual": {
            "base": 1.0,
            "average": _residual(layer.average, layer.asked),
            "result": _residual(layer.result, layer.asked),
        },
        "norm": layer.norm,
        "largest_concept_norm": layer.largest_norm,
        "warning": layer.exploded,
    }


def _residual(objective: float, asked: float) -> float:
    """(f + asked) / asked; concepts that ask for nothing leave no error."""
    return max(0.0, (objective + asked) / asked) if asked > 0 else 0.0
