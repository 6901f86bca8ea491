"""Reports of fusions, as `fusion.report` writes them, with drawn figures."""

from __future__ import annotations

from itertools import combinations, islice
from typing import Any

from mos_protocol.layer_map import Part

from crowd.concepts import BLOCKS
from crowd.rows import Chance

FEW_LAYERS = 2
# Stable Diffusion 1.5 with all that imported LoRAs change has 264.
MANY_LAYERS = 17


def report(chance: Chance, refs: list[str], base: str, layers_per_block: int) -> dict[str, Any]:
    """A report about the concepts `refs`."""
    blocks = [finding(chance, refs, name, layers_per_block) for name in BLOCKS]
    parts = [Part.TEXT_ENCODER, Part.CROSS_KV, Part.SPATIAL]
    return {
        "format": "mos-fusion-report/2",
        "base": {"name": base, "digest": "0" * 64},
        "concepts": [{"name": ref, "weight": 1.0, "words": ["<a>"], "package": "0" * 64}
                     for ref in refs],
        "settings": {"solver": "closed-form", "ridge": dict.fromkeys(parts, 1e-3),
                     "prior_weight": 0.1, "refine_rounds": 0},
        "warnings": [f"{refs[0]} keeps 41% of what it asks of its layers, less than 50%"],
        "parts": {part: {"layers": 88, **_residual(chance), "largest_growth": 3.1}
                  for part in parts},
        "kept": {ref: {"result": _share(chance), "average": _share(chance) / 2,
                       "parts": {part: _share(chance) for part in parts}} for ref in refs},
        "estimated": [],
        "collisions": _collisions(chance, refs, 50),
        "blocks": blocks,
        "layers": [_layer(chance, refs, f"{name}.layers.{n}.to_q")
                   for name in BLOCKS for n in range(layers_per_block)],
    }  # fmt: skip


def finding(chance: Chance, refs: list[str], block: str, layers: int) -> dict[str, Any]:
    """What a fused block tells."""
    return {
        "block": block,
        "layers": layers,
        **_residual(chance),
        "largest_growth": 3.1,
        "kept": {ref: _share(chance) for ref in refs},
        "collisions": _collisions(chance, refs, 5),
    }


def _layer(chance: Chance, refs: list[str], name: str) -> dict[str, Any]:
    return {
        "layer": name,
        "part": Part.TEXT_ENCODER if name.startswith("text") else Part.SPATIAL,
        "rank": 4 * len(refs),
        "objective": {"base": 0.0, "average": -0.4, "result": -0.8},
        **_residual(chance),
        "norm": 1.2345678901234567,
        "largest_concept_norm": 0.5678901234567891,
        "growth": 2.1739130434782608,
        "ridge": {"absolute": 0.00012345678901234568, "relative": 0.001},
        "condition": 12345.678901234567,
        "effective_rank": 12.345678901234567,
        "assumed": 0,
        "concepts": {ref: {"asked": 0.25, "average": 0.5, "result": _share(chance)}
                     for ref in refs},
    }  # fmt: skip


def _residual(chance: Chance) -> dict[str, Any]:
    average = chance.random.uniform(0.3, 0.6)
    return {"residual": {"base": 1.0, "average": average, "result": average / 4}}


def _collisions(chance: Chance, refs: list[str], most: int) -> list[dict[str, Any]]:
    pairs = islice(combinations(refs, 2), most)
    return [{"concepts": list(pair), "share": 0.1 * chance.random.random()} for pair in pairs]


def _share(chance: Chance) -> float:
    return chance.random.uniform(0.3, 1.0)


def evaluated(chance: Chance, ref: str) -> dict[str, Any]:
    """A concept's figures, as `fusion.evaluation_scores` writes them."""

    def drawn(low: float) -> dict[str, dict[str, float]]:
        means = {"class_word": low, "own": low + 0.2, "fused": low + 0.15}
        return {
            name: {"mean": round(mean + 0.05 * chance.random.random(), 4), "error": 0.01}
            for name, mean in means.items()
        }

    return {"concept": ref, "text": drawn(0.6), "identity": drawn(0.55), "kept": 0.75}
