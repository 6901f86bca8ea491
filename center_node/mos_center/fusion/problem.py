"""The least-squares problem of one block, reduced to what the concepts' LoRAs span.

    f(D) = tr(D G Dᵀ) − 2 tr(C Dᵀ)        G = Σ Gᵢ,   C = Σ αᵢ ΔWᵢ Gᵢ        (f(0) = 0)
    F(D) = f(D) + ρ tr(D G₀ Dᵀ) + λ‖D − D̄‖²                D̄ = (1/N) Σ αᵢ ΔWᵢ

Every column of C and of D̄ lies in the span of the stacked ups, so D = Q E with an orthonormal Q
of at most Σ rᵢ columns; all that follows happens on E.

Legend: N concepts, α weights, ΔWᵢ = upᵢ downᵢ, Gᵢ (d, d) mean second moment of what concept i sent
into the layer, G₀ that of generic inputs, R columns of Q, d_in and d_out of the layer. All float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Block, Linear, Part
from torch import Tensor

if TYPE_CHECKING:
    from mos_diffusion.edlora import LoraFactors


@dataclass(frozen=True)
class ConceptUpdate:
    """What one concept asks of a block: its weight α, and factors for the layers it changed."""

    name: str
    weight: float
    factors: Mapping[str, LoraFactors]


@dataclass
class LayerProblem:
    """One layer on reduced coordinates: D = basis @ E.

    basis: Q (d_out, R). average: Ē (R, d_in) with D̄ = Q Ē. target: K = QᵀC (R, d_in).
    pull: B = K − (G + ρG₀)Ē, minus half the gradient of F at Ē; exactly 0 for a single concept.
    asked: Σ αᵢ² tr(ΔWᵢ Gᵢ ΔWᵢᵀ), so that f(D) + asked is the summed squared error of D.
    largest_norm: max ‖αᵢ ΔWᵢ‖ over the concepts.
    """

    layer: Linear
    basis: Tensor
    average: Tensor
    target: Tensor
    pull: Tensor
    asked: float = 0.0
    largest_norm: float = 0.0


@dataclass
class InputProblem:
    """All layers that share one input: gram is G (d, d), prior is ρG₀ (d, d) or None."""

    name: str
    part: Part
    gram: Tensor
    prior: Tensor | None
    layers: list[LayerProblem] = field(default_factory=list)

    @property
    def curvature(self) -> Tensor:
        """G + ρG₀: what D is measured with, before the ridge."""
        return self.gram if self.prior is None else self.gram + self.prior


def objective(problem: LayerProblem, gram: Tensor, reduced: Tensor) -> float:
    """f at D = Q E for E = `reduced` (R, d_in); no ridge, no prior."""
    return float(((reduced @ gram - 2 * problem.target) * reduced).sum())


def gather_block(
    block: Block,
    updates: Sequence[ConceptUpdate],
    moments: Iterable[Mapping[str, Tensor]],
    prior: Mapping[str, Tensor] | None,
    prior_weight: float,
) -> list[InputProblem]:
    """Build the problems of a block; layers that no concept changed are left out.

    `moments` yields one mapping input → Gᵢ (d, d) per concept, in the order of `updates`, and is
    consumed one by one, so that one concept's moments are in memory at a time.
    Raises `InvalidRequest` for a tensor that is missing, misshapen or not finite.
    """
    if prior_weight > 0 and prior is None:
        raise InvalidRequest(
            f"A prior weight of {prior_weight} needs the base's prior moments of {block.name}.",
            hint="Record the prior when the base is registered, or set the prior weight to 0.",
        )
    changed = {name for update in updates for name in update.factors}
    layers = [layer for layer in block.layers if layer.name in changed]
    widths = {layer.input: layer.d_in for layer in layers}
    for update in updates:
        _check_update(update, layers)
    grams, projected = _accumulate(layers, widths, updates, moments)
    problems: dict[tuple[str, Part], InputProblem] = {}
    for layer in layers:
        key = (layer.input, layer.part)
        if key not in problems:
            known = None
            if prior is not None and prior_weight > 0:
                known = prior_weight * _moment(prior, layer.input, layer.d_in, "the base's prior")
            problems[key] = InputProblem(layer.input, layer.part, grams[layer.input], known)
        problem = problems[key]
        reduced = _layer_problem(layer, updates, projected, problem.curvature)
        if reduced.basis.shape[1]:
            problem.layers.append(reduced)
    return [problem for problem in problems.values() if problem.layers]


def _accumulate(
    layers: Sequence[Linear],
    widths: Mapping[str, int],
    updates: Sequence[ConceptUpdate],
    moments: Iterable[Mapping[str, Tensor]],
) -> tuple[dict[str, Tensor], dict[tuple[int, str], Tensor]]:
    """Return G per input, and downᵢ Gᵢ (r, d_in) per concept index and layer name."""
    grams = {name: torch.zeros(width, width, dtype=torch.float64) for name, width in widths.items()}
    projected: dict[tuple[int, str], Tensor] = {}
    for index, (update, recorded) in enumerate(zip(updates, moments, strict=True)):
        own = {name: _moment(recorded, name, width, update.name) for name, width in widths.items()}
        for name, moment in own.items():
            grams[name] += moment
        for layer in layers:
            if layer.name in update.factors:
                down = update.factors[layer.name].down.double()
                projected[index, layer.name] = down @ own[layer.input]
    return grams, projected


def _layer_problem(
    layer: Linear,
    updates: Sequence[ConceptUpdate],
    projected: Mapping[tuple[int, str], Tensor],
    curvature: Tensor,
) -> LayerProblem:
    """Reduce one layer: orthonormal basis of the ups, then average, target and pull on it."""
    involved = [index for index, update in enumerate(updates) if layer.name in update.factors]
    ups = {index: updates[index].factors[layer.name].up.double() for index in involved}
    stacked = torch.cat(list(ups.values()), dim=1)
    # Columns that are zero (a LoRA that never trained) span nothing and would only widen the delta.
    stacked = stacked[:, stacked.abs().amax(dim=0) > 0]
    basis = torch.linalg.qr(stacked).Q
    size = (basis.shape[1], layer.d_in)
    average, target, pull = (torch.zeros(size, dtype=torch.float64) for _ in range(3))
    problem = LayerProblem(layer, basis, average, target, pull)
    for index, up in ups.items():
        weight = updates[index].weight
        down, seen = updates[index].factors[layer.name].down.double(), projected[index, layer.name]
        ups_here = weight * (basis.T @ up)
        average += ups_here @ (down / len(updates))
        target += ups_here @ seen
        # The difference of what this concept sees and what all see: with one concept and no prior
        # it is exactly zero, not only to rounding.
        pull += ups_here @ (seen - (down / len(updates)) @ curvature)
        inner = up.T @ up
        problem.asked += weight**2 * float((inner * (seen @ down.T)).sum())
        norm = abs(weight) * math.sqrt(max(0.0, float((inner * (down @ down.T)).sum())))
        problem.largest_norm = max(problem.largest_norm, norm)
    return problem


def _check_update(update: ConceptUpdate, layers: Sequence[Linear]) -> None:
    if not math.isfinite(update.weight):
        raise InvalidRequest(f"The weight of {update.name} is {update.weight!r}.")
    for layer in layers:
        factors = update.factors.get(layer.name)
        if factors is None:
            continue
        rank = factors.down.shape[0]
        if factors.down.shape != (rank, layer.d_in) or factors.up.shape != (layer.d_out, rank):
            raise InvalidRequest(
                f"{update.name}: LoRA of {layer.name} has shapes {tuple(factors.up.shape)} and "
                f"{tuple(factors.down.shape)}; the layer is ({layer.d_out}, {layer.d_in})."
            )
        if not (factors.up.isfinite().all() and factors.down.isfinite().all()):
            raise InvalidRequest(
                f"{update.name}: LoRA of {layer.name} has values that are not finite."
            )


def _moment(moments: Mapping[str, Tensor], name: str, width: int, whose: str) -> Tensor:
    """Return the moment (d, d) fp64 of input `name`, checked."""
    moment = moments.get(name)
    if moment is None or moment.shape != (width, width):
        shape = None if moment is None else tuple(moment.shape)
        raise InvalidRequest(
            f"{whose}: the moment of {name} is {shape or 'missing'}; expected {(width, width)}."
        )
    if not moment.isfinite().all():
        raise InvalidRequest(f"{whose}: the moment of {name} has values that are not finite.")
    return moment.double()
