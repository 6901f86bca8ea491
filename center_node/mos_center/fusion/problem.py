"""The least-squares problem of one layer input, reduced to what the concepts' LoRAs span.

    f(D) = tr(D G Dᵀ) − 2 tr(C Dᵀ)        G = Σ Gᵢ,   C = Σ αᵢ ΔWᵢ Gᵢ        (f(0) = 0)
    F(D) = f(D) + ρ tr(D G₀ Dᵀ) + λ‖D − D̄‖²                D̄ = (1/N) Σ αᵢ ΔWᵢ, or 0

Every column of C and of D̄ lies in the span of the stacked ups, so D = Q E with an orthonormal Q
of at most Σ rᵢ columns; all that follows happens on E.

Legend: N concepts, α weights, ΔWᵢ = upᵢ downᵢ, Gᵢ (d, d) mean second moment of what concept i sent
into the layer, G₀ that of generic inputs, R columns of Q, d_in and d_out of the layer. All float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Linear, Part
from torch import Tensor

from mos_center.fusion.sums import ConceptUpdate, InputSums

__all__ = ["ConceptUpdate", "InputProblem", "LayerProblem", "Share", "gather", "objective"]


@dataclass(frozen=True)
class Share:
    """One concept in one layer, on reduced coordinates: αᵢ ΔWᵢ = Q (up @ down).

    up: (R, r), with the weight. down: (r, d_in). asked: αᵢ² tr(ΔWᵢ Gᵢ ΔWᵢᵀ). norm: ‖αᵢ ΔWᵢ‖.
    """

    concept: int
    up: Tensor
    down: Tensor
    asked: float
    norm: float


@dataclass
class LayerProblem:
    """One layer on reduced coordinates: D = basis @ E.

    basis: Q (d_out, R). average: Ē (R, d_in) with D̄ = Q Ē. target: K = QᵀC (R, d_in).
    pull: B = K − (G + ρG₀)Ē, minus half the gradient of F at Ē; exactly 0 for a single concept.
    shares: one per concept that changes the layer.
    """

    layer: Linear
    basis: Tensor
    average: Tensor
    target: Tensor
    pull: Tensor
    shares: list[Share] = field(default_factory=list)

    @property
    def asked(self) -> float:
        """f(D) + asked is the summed squared error of D."""
        return sum(share.asked for share in self.shares)

    @property
    def largest_norm(self) -> float:
        """max ‖αᵢ ΔWᵢ‖ over the concepts."""
        return max((share.norm for share in self.shares), default=0.0)


@dataclass
class InputProblem:
    """All layers that share one input: gram is G (d, d), prior is ρG₀ (d, d) or None.

    generic: G₀ (d, d), where the base has it. rows: orthonormal rows (n, d) that concepts are held
    at, by their index, for a solver that holds some.
    """

    name: str
    part: Part
    concepts: int
    gram: Tensor
    prior: Tensor | None
    layers: list[LayerProblem] = field(default_factory=list)
    generic: Tensor | None = None
    rows: Mapping[int, Tensor] = field(default_factory=dict)

    def around_zero(self) -> InputProblem:
        """The same with D̄ = 0: its ridge pulls towards the base, where solving starts then."""
        layers = [
            replace(layer, average=torch.zeros_like(layer.average), pull=layer.target)
            for layer in self.layers
        ]
        return replace(self, layers=layers)

    @property
    def curvature(self) -> Tensor:
        """G + ρG₀: what D is measured with, before the ridge."""
        return self.gram if self.prior is None else self.gram + self.prior


def objective(problem: LayerProblem, gram: Tensor, reduced: Tensor) -> float:
    """f at D = Q E for E = `reduced` (R, d_in); no ridge, no prior."""
    return float(((reduced @ gram - 2 * problem.target) * reduced).sum())


def gather(
    layers: Sequence[Linear],
    updates: Mapping[str, ConceptUpdate],
    sums: InputSums,
    prior: Tensor | None = None,
    prior_weight: float = 0.0,
) -> InputProblem:
    """Build the problem of the layers that share one input; those that no concept changed are out.

    updates: by the keys of `sums`, in the order of the request. prior: G₀ (d, d), which also
    stands in for moments that concepts lack. Raises `InvalidRequest` for what does not fit.
    """
    if prior_weight > 0 and prior is None:
        raise InvalidRequest(
            f"A prior weight of {prior_weight:g} needs the base's prior moments of "
            f"{layers[0].input}.",
            hint="Record the prior when the base is registered, or set the prior weight to 0.",
        )
    for update in updates.values():
        check_update(update, layers)
    gram = sums.total(prior)
    held = None if prior is None or prior_weight == 0 else prior_weight * prior
    problem = InputProblem(layers[0].input, layers[0].part, len(updates), gram, held, generic=prior)
    curvature = problem.curvature
    for layer in layers:
        reduced = _reduce(layer, updates, sums, curvature)
        if reduced is not None:
            problem.layers.append(reduced)
    return problem


def check_update(update: ConceptUpdate, layers: Sequence[Linear]) -> None:
    """Raise `InvalidRequest` for a weight or factors that can't be used."""
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


def _reduce(
    layer: Linear, updates: Mapping[str, ConceptUpdate], sums: InputSums, curvature: Tensor
) -> LayerProblem | None:
    """One layer: orthonormal basis of the ups, then average, target and pull on it."""
    involved = {
        key: (index, update)
        for index, (key, update) in enumerate(updates.items())
        if layer.name in update.factors
    }
    ups = [update.factors[layer.name].up.to(curvature) for _, update in involved.values()]
    basis = _basis(ups)
    if basis is None:
        return None
    weights = [update.weight for _, update in involved.values()]
    here = [weight * (basis.T @ up) for weight, up in zip(weights, ups, strict=True)]
    downs = [update.factors[layer.name].down.to(curvature) for _, update in involved.values()]
    seen = [sums.concepts[key].rows[layer.name] for key in involved]
    stacked, shared = torch.cat(here, dim=1), torch.cat(downs) / len(updates)
    seen_by_all = torch.cat(seen)
    return LayerProblem(
        layer,
        basis,
        average=stacked @ shared,
        target=stacked @ seen_by_all,
        # The difference of what each concept sees and what all see: with one concept and no prior
        # it is exactly zero, not only to rounding.
        pull=stacked @ (seen_by_all - shared @ curvature),
        shares=[
            _share(index, up, down, rows)
            for (index, _), up, down, rows in zip(involved.values(), here, downs, seen, strict=True)
        ],
    )


def _share(concept: int, up: Tensor, down: Tensor, seen: Tensor) -> Share:
    inner = up.T @ up
    asked = float((inner * (seen @ down.T)).sum())
    norm = math.sqrt(max(0.0, float((inner * (down @ down.T)).sum())))
    return Share(concept, up, down, max(0.0, asked), norm)


def _basis(ups: Sequence[Tensor]) -> Tensor | None:
    """Orthonormal columns that span the ups; None when nothing changes the layer."""
    if not ups:
        return None
    stacked = torch.cat(list(ups), dim=1)
    # Columns that are zero (a LoRA that never trained) span nothing and would only widen the delta.
    stacked = stacked[:, stacked.abs().amax(dim=0) > 0]
    return torch.linalg.qr(stacked).Q if stacked.shape[1] else None
