"""The baseline that averages the updates: D̄ = (1/N) Σ αᵢ ΔWᵢ."""

from __future__ import annotations

from torch import Tensor

from mos_center.fusion.problem import InputProblem


def combine(problem: InputProblem) -> list[Tensor]:
    """E of the average, per layer."""
    return [layer.average for layer in problem.layers]
