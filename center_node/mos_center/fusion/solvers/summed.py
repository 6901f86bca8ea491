"""The baseline that adds the updates up: D = Σ αᵢ ΔWᵢ, as merging tools do with given weights."""

from __future__ import annotations

from torch import Tensor

from mos_center.fusion.problem import InputProblem


def combine(problem: InputProblem) -> list[Tensor]:
    """E of the sum, per layer."""
    return [problem.concepts * layer.average for layer in problem.layers]
