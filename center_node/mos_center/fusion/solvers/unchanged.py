"""The baseline that leaves every layer as it is: D = 0, so that words alone make the concepts."""

from __future__ import annotations

import torch
from torch import Tensor

from mos_center.fusion.problem import InputProblem


def combine(problem: InputProblem) -> list[Tensor]:
    """E of no change, per layer."""
    return [torch.zeros_like(layer.average) for layer in problem.layers]
