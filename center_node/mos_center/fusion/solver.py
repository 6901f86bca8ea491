"""Solvers of the reduced problem; all minimise the same F, starting from the plain average.

With E = Ē + U:   F = tr(U H Uᵀ) − 2 tr(B Uᵀ) + const,   H = G + ρG₀ + λI,   B = K − (G + ρG₀)Ē.
λ is relative: the settings' ridge times the mean diagonal of G + ρG₀.

H and its factors are shared by the layers that share an input (q, k and v of a self-attention).
U is (R, d), H (d, d), all float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mos_protocol.errors import JobFailed
from torch import Tensor

from mos_center.fusion.lbfgs import minimise
from mos_center.fusion.problem import InputProblem
from mos_center.fusion.settings import FusionSettings, Solver


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside: sums then don't depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def solve(problem: InputProblem, settings: FusionSettings) -> list[Tensor]:
    """Return E (R, d_in) for every layer of the problem, in order.

    Raises `JobFailed` when the moments can't be factorised at all.
    """
    averages = [layer.average for layer in problem.layers]
    pulls = [layer.pull for layer in problem.layers]
    if settings.solver is Solver.AVERAGE or not any(bool(pull.any()) for pull in pulls):
        return averages
    curvature = problem.curvature
    ridge = settings.ridge[problem.part] * float(curvature.diagonal().mean())
    try:
        if settings.solver is Solver.CLOSED_FORM:
            changes = _closed_form(curvature, ridge, pulls)
        else:
            changes = _lbfgs(curvature, ridge, pulls, settings.lbfgs_steps[problem.part])
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise JobFailed(
            f"The moments of {problem.name} could not be factorised.",
            hint="Raise the ridge of this part, or record the concepts' moments again.",
        ) from error
    return [average + change for average, change in zip(averages, changes, strict=True)]


def _closed_form(curvature: Tensor, ridge: float, pulls: list[Tensor]) -> list[Tensor]:
    """U = B H⁻¹, by one Cholesky factorisation for all layers where H allows it."""
    matrix = _definite(curvature, ridge)
    if matrix is not None:
        stacked = torch.cat(pulls).T
        solution = torch.cholesky_solve(stacked, torch.linalg.cholesky(matrix)).T
        return list(torch.split(solution, [len(pull) for pull in pulls]))
    values, vectors = _spectrum(curvature, ridge)
    return [((pull @ vectors) / values) @ vectors.T for pull in pulls]


def _lbfgs(curvature: Tensor, ridge: float, pulls: list[Tensor], steps: int) -> list[Tensor]:
    """LBFGS on H's eigenvectors: they are orthonormal, which changes no step, only their cost."""
    values, vectors = _spectrum(curvature, ridge)
    return [minimise(values, pull @ vectors, steps) @ vectors.T for pull in pulls]


def _rounding(curvature: Tensor) -> float:
    """Eigenvalues of G up to this size mean nothing: moments are stored as float32."""
    return torch.finfo(torch.float32).eps * float(curvature.norm())


def _definite(curvature: Tensor, ridge: float) -> Tensor | None:
    """H, or None when the ridge is too small to lift what rounding left of empty directions."""
    if ridge <= 2 * _rounding(curvature):
        return None
    matrix = curvature.clone()
    matrix.diagonal().add_(ridge)
    return matrix


def _spectrum(curvature: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Eigenvalues of H (k,) and eigenvectors (d, k) as columns.

    A direction that is empty but for rounding is left out when the ridge can't lift it: nothing is
    known about it, so the solution keeps the average there.
    """
    values, vectors = torch.linalg.eigh(curvature)
    if ridge <= 2 * _rounding(curvature):
        known = values > max(_rounding(curvature), -2 * float(values[0]))
        values, vectors = values[known], vectors[:, known]
    return values + ridge, vectors
