"""LBFGS with as many steps as the paper takes, started at the average."""

from __future__ import annotations

from torch import Tensor

from mos_center.fusion.problem import InputProblem
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.solvers.conjugate import minimise
from mos_center.fusion.solvers.regularised import Regularised


def solve(
    problem: InputProblem, regularised: Regularised, settings: FusionSettings
) -> list[Tensor]:
    """E after the part's number of steps, per layer.

    It runs on H's eigenvectors: they are orthonormal, which changes no step, only their cost.
    """
    values, vectors = regularised.spectrum()
    steps = settings.lbfgs_steps[problem.part]
    return [
        layer.average + minimise(values, layer.pull @ vectors, steps) @ vectors.T
        for layer in problem.layers
    ]
