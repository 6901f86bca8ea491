"""LBFGS on a quadratic, with the paper's figures: lr 1, history 25, tolerance 1e-16.

The paper's public code uses torch's LBFGS with a strong Wolfe line search. On a quadratic the
minimum along a direction is known in closed form, and it satisfies the strong Wolfe conditions,
so it takes the place of the search. That costs one product with H per step, the error falls with
every step (the best iterate is the last one), and the iterates are those of conjugate gradients:
their distance from the start only grows, so that an LBFGS that stops early can't undercut the
closed form on the plain objective f.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

HISTORY = 25
TOLERANCE = 1e-16
# A step that gains less than this share of what all steps gained is lost in rounding. Far below the
# tolerance on purpose: at the minimum an error of ε in U costs only ε² in q.
STALLED = 1e-25


@dataclass(frozen=True)
class Quadratic:
    """q(U) = tr(U H Uᵀ) − 2 tr(B Uᵀ), U (R, d).

    apply: U ↦ U H. linear: B. mean_curvature: mean of H's diagonal.
    """

    apply: Callable[[Tensor], Tensor]
    linear: Tensor
    mean_curvature: float

    @classmethod
    def dense(cls, matrix: Tensor, linear: Tensor) -> Quadratic:
        """H (d, d) as it is."""
        return cls(lambda point: point @ matrix, linear, float(matrix.diagonal().mean()))

    @classmethod
    def diagonal(cls, values: Tensor, linear: Tensor) -> Quadratic:
        """H on its eigenvectors: (d,) eigenvalues, B turned the same way."""
        return cls(lambda point: point * values, linear, float(values.mean()))


def minimise(quadratic: Quadratic, steps: int) -> Tensor:
    """Return U (R, d) after at most `steps` iterations from U = 0.

    The problem is scaled to curvature 1 and pull 1 first: the tolerances are absolute, and layers
    differ by many orders of magnitude.
    """
    size, curvature = float(quadratic.linear.norm()), quadratic.mean_curvature
    point = torch.zeros_like(quadratic.linear)
    if size == 0 or curvature <= 0:
        return point
    gradient = -quadratic.linear / size  # half of q's gradient: U H − B
    history: deque[_Pair] = deque(maxlen=HISTORY)
    gained = 0.0
    for _ in range(steps):
        if float(gradient.abs().max()) <= TOLERANCE:
            break
        direction = _two_loops(gradient, history).neg_()
        curved = quadratic.apply(direction) / curvature
        bend, slope = _dot(direction, curved), _dot(direction, gradient)
        if bend <= 0 or slope >= 0:
            break
        length = -slope / bend
        step, turn = direction.mul_(length), curved.mul_(length)
        point += step
        gradient += turn
        gain = -slope * length
        gained += gain
        if float(step.abs().max()) <= TOLERANCE or gain < STALLED * gained:
            break
        history.append(_Pair(step, turn, length**2 * bend))
    return point * (size / curvature)


@dataclass(frozen=True)
class _Pair:
    """A step s, the change y = s H of the gradient over it, and s·y."""

    step: Tensor
    turn: Tensor
    product: float


def _two_loops(gradient: Tensor, history: deque[_Pair]) -> Tensor:
    """The inverse Hessian that the history stands for, applied to the gradient (R, d)."""
    result = gradient.clone()
    shares: list[float] = []
    for pair in reversed(history):
        share = _dot(pair.step, result) / pair.product
        result.add_(pair.turn, alpha=-share)
        shares.append(share)
    if history:
        last = history[-1]
        result.mul_(last.product / _dot(last.turn, last.turn))
    for pair, share in zip(history, reversed(shares), strict=True):
        result.add_(pair.step, alpha=share - _dot(pair.turn, result) / pair.product)
    return result


def _dot(left: Tensor, right: Tensor) -> float:
    return float(torch.dot(left.flatten(), right.flatten()))
