"""F around the average, and the rule that chooses its λ.

With E = Ē + U:   F = tr(U H Uᵀ) − 2 tr(B Uᵀ) + const,   H = G + ρG₀ + λI,   B = K − (G + ρG₀)Ē.

λ is relative to the scale of what was recorded: the requested ridge times the mean diagonal of
G + ρG₀. Should the minimum be more than `GROWTH_LIMIT` times as large as the largest single
concept's update, in any layer of the input, λ is raised tenfold until it is not: an exact fit to
nearly collinear inputs is a huge update that ruins every input that was not recorded. The rule
looks at the minimum only, so that every solver of an input uses the same λ.

U is (R, d), H (d, d), all float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mos_center.fusion.problem import InputProblem
from mos_center.fusion.settings import GROWTH_LIMIT

_FIRST_RUNG = 1e-6
_RUNGS = 12


@dataclass(frozen=True)
class Regularised:
    """F of one input: curvature G + ρG₀, ridge λ, and the minimum's U (R, d) per layer."""

    curvature: Tensor
    ridge: float
    minimum: list[Tensor]

    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues of H (k,) and eigenvectors (d, k) as columns.

        A direction that is empty but for rounding is left out when the ridge can't lift it:
        nothing is known about it, so the solution keeps the average there.
        """
        return _spectrum(self.curvature, self.ridge)


def regularise(problem: InputProblem, relative: float) -> Regularised:
    """Choose λ ≥ relative · mean diagonal of the curvature, and find the minimum.

    Raises `torch.linalg.LinAlgError` when no λ gives a finite minimum of sensible size.
    """
    curvature = problem.curvature
    scale = float(curvature.diagonal().mean())
    pulls = [layer.pull for layer in problem.layers]
    for _ in range(_RUNGS):
        changes = _minimum(curvature, relative * scale, pulls)
        if changes is not None and not _exploded(problem, changes):
            return Regularised(curvature, relative * scale, changes)
        relative = max(10 * relative, _FIRST_RUNG)
    raise torch.linalg.LinAlgError(f"no finite minimum up to a ridge of {relative:g}")  # type: ignore[attr-defined]


def _minimum(curvature: Tensor, ridge: float, pulls: list[Tensor]) -> list[Tensor] | None:
    """U = B H⁻¹ for all layers at once; None when H is not definite."""
    if ridge > 2 * _rounding(curvature):
        matrix = curvature.clone()
        matrix.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if bool(failed):
            return None
        solution = torch.cholesky_solve(torch.cat(pulls).T, factor).T
        return list(torch.split(solution, [len(pull) for pull in pulls]))
    values, vectors = _spectrum(curvature, ridge)
    return [((pull @ vectors) / values) @ vectors.T for pull in pulls]


def _exploded(problem: InputProblem, changes: list[Tensor]) -> bool:
    """Whether a layer's delta is not finite, or far larger than any concept's own update."""
    for layer, change in zip(problem.layers, changes, strict=True):
        size = float((layer.average + change).norm())
        if not size <= GROWTH_LIMIT * layer.largest_norm:
            return True
    return False


def _rounding(curvature: Tensor) -> float:
    """Eigenvalues of G up to this size mean nothing: products of activations are float32."""
    return torch.finfo(torch.float32).eps * float(curvature.norm())


def _spectrum(curvature: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(curvature)
    if ridge <= 2 * _rounding(curvature):
        known = values > max(_rounding(curvature), -2 * float(values[0]))
        values, vectors = values[known], vectors[:, known]
    # What the coding of moments leaves below zero is no curvature either.
    kept = values + ridge > 0
    return values[kept] + ridge, vectors[:, kept]
