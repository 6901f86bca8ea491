"""What a base's own weights and inputs measure, for comparison with what members send.

Runs nothing: weights are streamed from the model's files, inputs read off its prior. It imports
torch: import this module only where that is meant. Legend: d width.

    <layer>                    norm: ‖W‖
    <input>                    energy: tr(G₀)/d        directions: tr(G₀)²/‖G₀‖²
    <text encoder>.embeddings  mean, largest: norms of the vocabulary's embeddings
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from mos_diffusion.base_folder import stored_weights
from mos_diffusion.moments import open_moments
from mos_protocol.layer_map import LayerMap

Statistics = dict[str, dict[str, float]]
_VOCABULARY = "embeddings.token_embedding.weight"


def measure(folder: Path, layer_map: LayerMap, prior: Mapping[str, Path]) -> Statistics:
    """The statistics of a base's folder; of its inputs only where `prior` has a file of theirs."""
    layers = {layer.name for layer in layer_map.layers()}
    found: Statistics = {}
    for model in sorted({name.partition(".")[0] for name in layers}):
        found |= _weights(folder, model, layers)
    for path in prior.values():
        found |= _inputs(path)
    return found


def _weights(folder: Path, model: str, layers: set[str]) -> Statistics:
    found = {}
    for name, shape, pieces in stored_weights(folder, model):
        layer = f"{model}.{name.removesuffix('.weight')}"
        if name.endswith(".weight") and layer in layers:
            squares = (float(piece.float().square().sum()) for piece in pieces)
            found[layer] = {"norm": math.sqrt(math.fsum(squares))}
        elif name == _VOCABULARY:
            found[f"{model}.embeddings"] = _vocabulary(shape, pieces)
    return found


def _vocabulary(shape: tuple[int, ...], pieces: Iterator[torch.Tensor]) -> dict[str, float]:
    norms = torch.cat(list(pieces)).reshape(shape).float().norm(dim=1)
    return {"mean": float(norms.mean()), "largest": float(norms.max())}


def _inputs(path: Path) -> Statistics:
    found = {}
    with open_moments(path) as stored:
        for name in stored.names():
            moment = stored.read(name)
            trace, size = float(moment.trace()), float(moment.norm())
            found[name] = {
                "energy": trace / len(moment),
                "directions": (trace / size) ** 2 if size else 0.0,
            }
    return found
