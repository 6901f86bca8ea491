"""The solvers, one file each; a new one is a file with a `solve` and a line in `SOLVERS`.

All work on the reduced problem of one input and return E (R, d_in) float64 for every layer of it.
Those that solve minimise the same F (see `problem`), starting from what its ridge pulls towards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from mos_protocol.errors import JobFailed
from torch import Tensor

from mos_center.fusion.problem import InputProblem
from mos_center.fusion.settings import FusionSettings, RidgeTarget, Solver
from mos_center.fusion.solvers import (
    average,
    closed_form,
    constrained,
    lbfgs,
    summed,
    unchanged,
)
from mos_center.fusion.solvers.regularised import Regularised, regularise


class LayerSolver(Protocol):
    """Finds E for every layer of `problem`; `regularised` is F with its λ chosen."""

    def __call__(
        self, problem: InputProblem, regularised: Regularised, settings: FusionSettings
    ) -> list[Tensor]: ...


class Baseline(Protocol):
    """Combines the concepts' updates as other methods do, with no F to minimise."""

    def __call__(self, problem: InputProblem) -> list[Tensor]: ...


SOLVERS: dict[Solver, LayerSolver] = {
    Solver.CLOSED_FORM: closed_form.solve,
    Solver.LBFGS: lbfgs.solve,
}
BASELINES: dict[Solver, Baseline] = {
    Solver.AVERAGE: average.combine,
    Solver.SUM: summed.combine,
    Solver.CUSTOM_DIFFUSION: constrained.combine,
    Solver.NONE: unchanged.combine,
}


@dataclass(frozen=True)
class Solution:
    """E (R, d_in) per layer, and the λ that was used: 0 when nothing was solved."""

    reduced: list[Tensor]
    ridge: float = 0.0


def solve(problem: InputProblem, settings: FusionSettings) -> Solution:
    """Solve for every layer of the problem, in order.

    Raises `JobFailed` when the moments can't be factorised at all.
    """
    if settings.solver in BASELINES:
        return Solution(BASELINES[settings.solver](problem))
    if settings.ridge_target is RidgeTarget.ZERO:
        problem = problem.around_zero()
    if not any(bool(layer.pull.any()) for layer in problem.layers):
        return Solution(average.combine(problem))
    try:
        regularised = regularise(problem, settings.ridge[problem.part])
        reduced = SOLVERS[settings.solver](problem, regularised, settings)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise JobFailed(
            f"The moments of {problem.name} could not be factorised.",
            hint="Raise the ridge of this part, or record the concepts' moments again.",
        ) from error
    return Solution(reduced, regularised.ridge)
