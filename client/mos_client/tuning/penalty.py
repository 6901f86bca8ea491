"""The prior penalty: what a concept's LoRA does to generic inputs, relative to the base's weights.

    mean over layers of  tr(ΔW G₀ ΔWᵀ) / tr(W₀ G₀ W₀ᵀ),   ΔW = up · down

with G₀ the base's prior second moments. It costs r×d products and no forward pass:
tr(ΔW G₀ ΔWᵀ) = Σ (upᵀup) ∘ (down G₀ downᵀ).
Legend: r rank, d width, k layers that share one input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import torch
from mos_diffusion.adapters import LoraFactors
from mos_diffusion.base_model import BaseModel, bare_linear, blocks, find_layer
from mos_protocol.errors import InvalidRequest
from torch import Tensor

Prior = Mapping[str, Mapping[str, Tensor]]
"""Block → input → G₀ (d, d): the mean second moments of the base on generic prompts."""


class _SharedInput(NamedTuple):
    moment: Tensor
    factors: list[LoraFactors]
    weights: list[float]


class PriorPenalty:
    """The penalty of live LoRA factors; call it for the differentiable scalar."""

    def __init__(self, base: BaseModel, factors: Mapping[str, LoraFactors], prior: Prior) -> None:
        """Raises `InvalidRequest` when the prior lacks an input or has another size."""
        grouped: dict[str, list[str]] = {}
        for block in blocks(base):
            for layer in block.layers:
                if layer.name in factors:
                    grouped.setdefault(layer.input, []).append(layer.name)
        moments = {name: moment for block in prior.values() for name, moment in block.items()}
        self._inputs = []
        for name, layers in grouped.items():
            moment = _checked(moments, name, factors[layers[0]].down.shape[1])
            energies = [_energy(base, layer, moment) for layer in layers]
            self._inputs.append(
                _SharedInput(
                    moment.to(base.device, torch.float32),
                    [factors[layer] for layer in layers],
                    [1 / (energy * len(factors)) for energy in energies],
                )
            )

    def __call__(self) -> Tensor:
        terms = []
        for moment, factors, weights in self._inputs:
            down = torch.cat([layer.down for layer in factors])
            seen = down @ moment @ down.T
            rank = len(factors[0].down)
            for number, (layer, weight) in enumerate(zip(factors, weights, strict=True)):
                rows = slice(number * rank, (number + 1) * rank)
                terms.append((layer.up.T @ layer.up * seen[rows, rows]).sum() * weight)
        return torch.stack(terms).sum()


def prior_digest(prior: Prior) -> str:
    """A sha256 over the prior, for the fingerprint of a run."""
    content = hashlib.sha256()
    for block in sorted(prior):
        for name in sorted(prior[block]):
            moment = prior[block][name].detach().to("cpu", torch.float32).contiguous()
            content.update(f"{block} {name} {list(moment.shape)}\n".encode())
            content.update(moment.numpy().data)
    return content.hexdigest()


def _checked(moments: Mapping[str, Tensor], name: str, width: int) -> Tensor:
    moment = moments.get(name)
    if moment is None or tuple(moment.shape) != (width, width):
        found = "nothing" if moment is None else f"shape {tuple(moment.shape)}"
        raise InvalidRequest(
            f"The prior moments have {found} for {name}; expected ({width}, {width}).",
            hint="Use the prior that the center has for this very base model.",
        )
    return moment


def _energy(base: BaseModel, layer: str, moment: Tensor) -> float:
    """tr(W₀ G₀ W₀ᵀ): what the base's own weights do to generic inputs."""
    weight = bare_linear(find_layer(base, layer)).weight.detach().double().cpu()
    return max(float((weight @ moment.double().cpu() * weight).sum()), 1e-12)
