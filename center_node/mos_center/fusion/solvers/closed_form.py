"""The minimum of F in closed form: U = B H⁻¹, one factorisation for all layers of an input."""

from __future__ import annotations

from torch import Tensor

from mos_center.fusion.problem import InputProblem
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.solvers.regularised import Regularised


def solve(
    problem: InputProblem, regularised: Regularised, settings: FusionSettings
) -> list[Tensor]:
    """E at the minimum, per layer."""
    return [
        layer.average + change
        for layer, change in zip(problem.layers, regularised.minimum, strict=True)
    ]
