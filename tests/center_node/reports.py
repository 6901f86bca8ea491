"""A published report as fusions write it, for concepts that keep so much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AVERAGE = 0.25


def small_report(kept: Mapping[str, float], **changes: Any) -> dict[str, Any]:
    """Two blocks with three layers, in which every concept keeps the same share."""
    refs = list(kept)
    return {
        "format": "mos-fusion-report/2",
        "warnings": [],
        "parts": {"text_encoder": _summary(1), "spatial": _summary(2)},
        "kept": {
            ref: {
                "result": share,
                "average": AVERAGE,
                "parts": {"text_encoder": share, "spatial": share},
            }
            for ref, share in kept.items()
        },
        "estimated": [],
        "collisions": [{"concepts": refs[:2], "share": 0.03}] if len(refs) > 1 else [],
        "blocks": [_block("text_encoder", 1, kept), _block("unet.mid_block", 2, kept)],
        "layers": [
            _layer("text_encoder.layers.0.q_proj", "text_encoder", kept),
            _layer("unet.mid_block.attn1.to_q", "spatial", kept),
            _layer("unet.mid_block.attn1.to_k", "spatial", kept),
        ],
        **changes,
    }


def _residual() -> dict[str, float]:
    return {"base": 1.0, "average": 0.5, "result": 0.125}


def _summary(layers: int) -> dict[str, Any]:
    return {"layers": layers, "residual": _residual(), "largest_growth": 1.5}


def _block(name: str, layers: int, kept: Mapping[str, float]) -> dict[str, Any]:
    return {"block": name, **_summary(layers), "kept": dict(kept), "collisions": []}


def _layer(name: str, part: str, kept: Mapping[str, float]) -> dict[str, Any]:
    return {
        "layer": name,
        "part": part,
        "rank": 4,
        "residual": _residual(),
        "growth": 1.2,
        "assumed": 0,
        "concepts": {
            ref: {"asked": 1.0, "average": 1 - AVERAGE, "result": 1 - share}
            for ref, share in kept.items()
        },
    }
