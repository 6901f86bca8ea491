"""What LBFGS does on a quadratic, step by step, at the cost of one vector.

The paper runs LBFGS (lr 1, history 25, strong Wolfe, 500 or 50 steps, best iterate kept). On a
quadratic the minimum along a direction is known in closed form, and satisfies the strong Wolfe
conditions. With it, three things are theorems:

- LBFGS takes the steps of conjugate gradients, whatever the length of its history (Nazareth, 1979);
- the error falls with every step, so that the best iterate is the last one;
- the distance from the start only grows, so that stopping early never undercuts the minimum of the
  regularised problem on the plain one.

In floating point a short history forgets directions, and the last two no longer hold to more than
1e-5. So the iterates are computed by conjugate gradients whose residuals are kept orthogonal.
"""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-16


def minimise(curvature: Tensor, linear: Tensor, steps: int) -> Tensor:
    """Iterate `steps` of LBFGS from U = 0 on q(U) = Σ hⱼ‖uⱼ‖² − 2 Σ bⱼ·uⱼ.

    curvature: h (k,) > 0, eigenvalues of H. linear: B (R, k) on H's eigenvectors. Returns U (R, k).

    Every iterate is B times a polynomial in h, so columns only differ by a factor: the R rows are
    one vector of column lengths as far as the method is concerned. Its tolerance is absolute and
    layers differ by many orders of magnitude, so curvature and B are scaled to size 1.
    """
    lengths = linear.norm(dim=0)
    size = float(lengths.norm())
    if size == 0:
        return torch.zeros_like(linear)
    mean = float(curvature.mean())
    point = _iterate(curvature / mean, lengths / size, steps)
    factors = torch.where(lengths > 0, point * size / (lengths * mean), 0.0)
    return linear * factors


def _iterate(curvature: Tensor, linear: Tensor, steps: int) -> Tensor:
    """Conjugate gradients on a diagonal system: curvature, linear and result are (k,)."""
    steps = min(steps, len(linear))
    point, residual = torch.zeros_like(linear), linear
    direction, left = residual, float(residual @ residual)
    seen = linear.new_empty(steps, len(linear))
    for step in range(steps):
        seen[step] = residual / left**0.5
        curved = curvature * direction
        length = left / float(direction @ curved)
        point = point + length * direction
        residual = residual - length * curved
        for _ in range(2):
            residual = residual - seen[: step + 1].T @ (seen[: step + 1] @ residual)
        before, left = left, float(residual @ residual)
        if left <= TOLERANCE**2:
            break
        direction = residual + (left / before) * direction
    return point
