"""How well a fused layer serves each concept, and which concepts pull it apart.

    error of concept i     eᵢ(D) = ‖(D − αᵢΔWᵢ) Xᵢ‖² = tr((D − αᵢΔWᵢ) Gᵢ (D − αᵢΔWᵢ)ᵀ)
    asked by concept i     eᵢ(0) = ‖αᵢΔWᵢ Xᵢ‖²
    pull of concept i      Pᵢ = (D − αᵢΔWᵢ) Gᵢ, half the gradient of eᵢ; at the optimum Σ Pᵢ = 0
    collision of i and j   cᵢⱼ = −4 tr(Pᵢ H⁻¹ Pⱼᵀ) where they pull against each other

H is the curvature with its ridge. For two concepts that send the same inputs, cᵢⱼ is just the error
that the best compromise leaves. Inner products of pulls are taken on a random projection of their
columns (Johnson and Lindenstrauss), so that memory grows with N but not with N·d.

Legend: R columns of the basis, m = R + Σ r rows, d width, N concepts, p columns of the projection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mos_center.fusion.problem import InputProblem, LayerProblem

PROJECTION = 64
_LEAST_RIDGE = 1e-6

Apply = Callable[[Tensor], Tensor]
"""rows (m, d) → rows Gᵢ (m, d), for one concept's moment."""


@dataclass(frozen=True)
class Fit:
    """One concept in one layer: squared errors, in units of its moment."""

    concept: int
    asked: float
    average: float
    result: float


@dataclass
class LayerQuality:
    """Fits of one layer, and projected pulls (R·p,) by concept."""

    fits: list[Fit] = field(default_factory=list)
    pulls: dict[int, Tensor] = field(default_factory=dict)

    def collisions(self) -> dict[tuple[int, int], float]:
        """(i, j) with i < j → cᵢⱼ, where it is positive."""
        places = list(self.pulls)
        if len(places) < 2:
            return {}
        stacked = torch.stack(list(self.pulls.values()))
        against = (-4 * (stacked @ stacked.T) / PROJECTION).tolist()
        return {
            (i, j): against[row][column]
            for row, i in enumerate(places)
            for column, j in enumerate(places)
            if i < j and against[row][column] > 0
        }


class Measure:
    """Collects the quality of an input's layers, one concept's moment after the other."""

    def __init__(self, problem: InputProblem, reduced: list[Tensor], ridge: float) -> None:
        self._concepts = problem.concepts
        self._stacks = [
            _Stack.of(layer, solution)
            for layer, solution in zip(problem.layers, reduced, strict=True)
        ]
        self._projection = _whitened_projection(problem.curvature, ridge)
        self.layers = [LayerQuality() for _ in problem.layers]

    def add(self, concept: int, apply: Apply) -> None:
        """Measure how the concept with this moment is served."""
        for stack, quality in zip(self._stacks, self.layers, strict=True):
            seen = apply(stack.rows)
            products = (seen @ stack.rows.T).double()
            quality.fits.append(stack.fit(concept, products, self._concepts))
            if self._projection is not None:
                pull = stack.pull(concept, seen) @ self._projection
                quality.pulls[concept] = pull.flatten().cpu()


@dataclass(frozen=True)
class _Stack:
    """A layer's rows (m, d) float32: E, then every down. ups: (R, Σ r), places: whose columns."""

    rows: Tensor
    ups: Tensor
    places: dict[int, slice]

    @classmethod
    def of(cls, layer: LayerProblem, solution: Tensor) -> _Stack:
        places, start = {}, 0
        for share in layer.shares:
            places[share.concept] = slice(start, start + len(share.down))
            start += len(share.down)
        rows = torch.cat([solution, *(share.down for share in layer.shares)])
        return cls(rows.float(), torch.cat([share.up for share in layer.shares], dim=1), places)

    def fit(self, concept: int, products: Tensor, count: int) -> Fit:
        """The errors of a concept from `products` (m, m) = rows Gᵢ rowsᵀ."""
        size = len(self.ups)
        downs, seen = products[size:, size:], products[:size, size:]
        asked = kept = met = 0.0
        if concept in self.places:
            place = self.places[concept]
            up = self.ups[:, place]
            asked = float(((up @ downs[place, place]) * up).sum())
            kept = float((seen[:, place] * up).sum())
            met = float(((self.ups @ downs[:, place]) * up).sum())
        plain = float(((self.ups @ downs) * self.ups).sum())
        average = plain / count**2 - 2 * met / count + asked
        result = float(products[:size, :size].trace()) - 2 * kept + asked
        return Fit(concept, max(asked, 0.0), max(average, 0.0), max(result, 0.0))

    def pull(self, concept: int, seen: Tensor) -> Tensor:
        """Pᵢ (R, d) float32 from `seen` (m, d) = rows Gᵢ."""
        size = len(self.ups)
        if concept not in self.places:
            return seen[:size]
        place = self.places[concept]
        own = seen[size + place.start : size + place.stop]
        return seen[:size] - self.ups[:, place].float() @ own


def dense(moment: Tensor) -> Apply:
    """Apply a moment (d, d) that is at hand."""
    single = moment.float()

    def apply(rows: Tensor) -> Tensor:
        return rows @ single

    return apply


def _whitened_projection(curvature: Tensor, ridge: float) -> Tensor | None:
    """L⁻ᵀ Ω (d, p) float32 for H = L Lᵀ and one Gaussian Ω; None when there is no curvature."""
    scale = float(curvature.diagonal().mean())
    matrix = curvature.clone()
    matrix.diagonal().add_(max(ridge, _LEAST_RIDGE * scale))
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if scale <= 0 or bool(failed):
        return None
    generator = torch.Generator().manual_seed(len(curvature))
    probe = torch.randn(len(curvature), PROJECTION, generator=generator, dtype=torch.float64)
    whitened: Tensor = torch.linalg.solve_triangular(
        factor.T, probe.to(curvature.device), upper=True
    )
    return whitened.float()
