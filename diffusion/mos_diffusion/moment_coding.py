"""Coding a second moment in as few bytes as its use allows (`coded_moment` has the layout).

The scale is s² = t / diag(G + λI)⁻¹: the more of a feature the others explain, the finer it is
kept. λ is 1e-3 of the mean of diag(G), the ridge that fusion uses.

The step t follows from what the error E = G' − G may cost. To first order it changes the fused
delta by ΔW E (G + λI)⁻¹, and the objective, relative to that of the base, by

    loss = tr(E (G + λI)⁻¹ E) / tr(G)        for a ΔW without a preferred direction.

This is measured, and the step refined until it is at most the accuracy. Quantisation can also make
G' indefinite. Lifting its diagonal mends that, but acts as a ridge, so that the step is refined
until the lift is small against λ.

Two plans compete by size: columns and a rest, or columns alone, for moments of low rank.
Legend: d width, k columns; l eigenvalues and V eigenvectors of C = S⁻¹ G S⁻¹ for t = 1. All fp64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from mos_protocol.integer_coding import LARGEST, deflate_integers
from mos_protocol.moments import largest_factor
from torch import Tensor

from mos_diffusion.coded_moment import CodedMoment, above_diagonal, mirror, upper_product

RIDGE = 1e-3
LARGEST_LIFT = 0.01
"""The most that the diagonal may be lifted, relative to what the ridge adds; half of it where
columns are alone, since their rounding lifts every direction."""
_ROUNDS = 12
# Of the variance of the rest, what rounding the columns may add to it: cheaper than finer columns.
_COLUMN_NOISE = 0.05


def encode_moment(matrix: Tensor, accuracy: float) -> CodedMoment:
    """Code G (d, d), symmetric and positive semi-definite but for rounding, to a loss ≤ `accuracy`.

    Raises `ValueError` for a matrix that is neither, or not finite. Costs one eigendecomposition
    and a few of eigenvalues alone.
    """
    if not 0 < accuracy <= 0.1:
        raise ValueError(f"an accuracy of {accuracy}; expected one above 0 and up to 0.1")
    gram = matrix.detach().to("cpu", torch.float64)
    _check(gram)
    if not bool(gram.diagonal().any()):
        return _zero(len(gram))
    try:
        problem = _Scaled.of(gram)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        raise ValueError("a moment is not positive semi-definite") from None
    alone = _columns_alone(problem, accuracy)
    rest = _with_rest(problem, accuracy, alone.nbytes if alone else math.inf)
    plans = [plan for plan in (alone, rest) if plan is not None]
    if not plans:
        raise ValueError("a moment is too uneven to be coded")
    return min(plans, key=lambda plan: plan.nbytes)


@dataclass(frozen=True)
class _Scaled:
    """A moment on its scale: gram G, scale s, eigenvalues l ≥ 0 falling and vectors V of C, and
    weight S (G + λI)⁻¹ S, whose diagonal is 1.
    """

    gram: Tensor
    scale: Tensor
    values: Tensor
    vectors: Tensor
    weight: Tensor

    @classmethod
    def of(cls, gram: Tensor) -> Self:
        lifted = gram.clone()
        lifted.diagonal().add_(RIDGE * float(gram.diagonal().mean()))
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(lifted))
        scale = inverse.diagonal().rsqrt()
        values, vectors = torch.linalg.eigh(gram / scale[:, None] / scale)
        weight = inverse * scale[:, None] * scale
        return cls(gram, scale, values.clamp(min=0).flip(0), vectors.flip(1), weight)

    @property
    def width(self) -> int:
        return len(self.scale)

    @property
    def per_variance(self) -> float:
        """The loss of independent errors of variance 1, one in every entry of C."""
        return self.width * float((self.scale**2).sum()) / float(self.gram.trace())

    def rest(self, most: int) -> Tensor:
        """Mean square of C's off-diagonal entries without its first 0 … `most` columns."""
        energy = self.values.square()
        shares = self.vectors.square() * self.values
        left = energy.sum() - _sums(energy[:most])
        diagonals = shares.sum(1, keepdim=True) - _sums(shares[:, :most])
        left -= diagonals.square().sum(0)
        return left.clamp(min=0) / max(1, self.width * (self.width - 1))


@dataclass(frozen=True)
class _Trial:
    """A coding that was tried: its loss, and its lift of the diagonal relative to the ridge."""

    coded: CodedMoment
    loss: float
    lift: float

    def fits(self, accuracy: float, lift: float = LARGEST_LIFT) -> bool:
        return self.loss <= accuracy and self.lift <= lift


def _with_rest(problem: _Scaled, accuracy: float, most_bytes: float) -> CodedMoment | None:
    """Few columns, and a rest whose step is refined until loss and lift are small.

    None when it would take more than `most_bytes`, or does not come to an end.
    """
    step = math.sqrt(12 * accuracy / problem.per_variance)
    # How fast the lift falls with the step: as a power, found from one trial to the next.
    power, before = 2.0, (0.0, 0.0)
    for _ in range(_ROUNDS):
        columns, noise, size = _cheapest(problem, step)
        trial = _quantised(problem, columns, noise, step) if size < most_bytes else None
        if trial is None:
            return None
        if trial.fits(accuracy):
            return trial.coded
        if 0 < trial.lift < before[1]:
            power = math.log(before[1] / trial.lift) / math.log(before[0] / step)
        before = (step, trial.lift)
        excess = max(1.0, trial.lift / (0.8 * LARGEST_LIFT))
        finer = max(0.1, excess ** (-0.8 / min(max(power, 1.0), 4.0)))
        step *= min(finer, math.sqrt(0.97 * accuracy / max(trial.loss, 0.97 * accuracy)))
    return None


def _columns_alone(problem: _Scaled, accuracy: float) -> CodedMoment | None:
    """As many columns as it takes; None when that is too many.

    What the diagonal has beyond them acts as a lift.
    """
    most = largest_factor(problem.width)
    tails = (problem.values.sum() - _sums(problem.values[:most])) / problem.width
    losses = problem.rest(most) * problem.per_variance
    budget = accuracy
    for _ in range(_ROUNDS):
        enough = (tails <= LARGEST_LIFT / 2 * 0.9 * budget / accuracy) & (losses <= budget / 2)
        if not bool(enough.any()):
            return None
        columns = int(enough.nonzero()[0])
        noise = (0.9 * budget - float(losses[columns])) / problem.per_variance
        trial = _quantised(problem, columns, noise, None)
        if trial is None or trial.fits(accuracy, LARGEST_LIFT / 2):
            return trial.coded if trial is not None else None
        # Both fall with the variance of the rounding, the lift with its root.
        excess = max(trial.loss / accuracy, (trial.lift / (LARGEST_LIFT / 2)) ** 2)
        budget *= min(0.8, max(0.1, 0.9 / excess))
    return None


def _cheapest(problem: _Scaled, step: float) -> tuple[int, float, float]:
    """The number of columns that takes the fewest bytes, the variance of their rounding, and the
    bytes to be expected.
    """
    most = max(1, problem.width // 8)
    rest = problem.rest(most)
    noise = _COLUMN_NOISE * torch.maximum(rest, torch.full_like(rest, step**2 / 12))
    values, counts = problem.values[:most, None], torch.arange(most + 1)
    sizes = values / _column_steps(problem, values, counts.clamp(min=1), noise) ** 2
    used = torch.arange(most)[:, None] < counts
    bits = problem.width * (_entropy(sizes / problem.width) * used).sum(0)
    bits += problem.width * (problem.width - 1) / 2 * _entropy((rest + noise) / step**2)
    best = int(bits.argmin())
    return best, float(noise[best]), float(bits[best]) / 8


def _column_steps(problem: _Scaled, values: Tensor, columns: Tensor, noise: Tensor) -> Tensor:
    """Steps of columns with eigenvalues l so that the error of an entry has the variance `noise`,
    an equal share from each: 2 (l/d) (step²/12) per column.
    """
    known = values.clamp(min=1e-12 * float(problem.values[0]))
    return (6 * noise * problem.width / (columns * known)).sqrt()


def _quantised(problem: _Scaled, columns: int, noise: float, step: float | None) -> _Trial | None:
    """Code with so many columns and a rest of this step (None: without one), and measure.

    None when numbers come out too large to be coded.
    """
    unit = step or 1.0
    scale = (problem.scale * math.sqrt(unit)).float()
    target = problem.gram / scale.double()[:, None] / scale.double()
    values = problem.values[:columns, None] / unit
    steps = _column_steps(problem, values, torch.tensor(columns), torch.tensor(noise / unit**2))
    factor = problem.vectors[:, :columns].T * values.sqrt()
    # No column may be finer than integers can tell; the rest makes up for it.
    factor_scale = torch.maximum(steps, factor.abs().amax(1, keepdim=True) / (LARGEST - 1))[:, 0]
    factor_scale = factor_scale.float()
    numbers = (factor / factor_scale[:, None]).round_()
    product = upper_product(numbers * factor_scale.double()[:, None])
    mirror(product)
    rest = (target - product).round_() if step else torch.zeros_like(target)
    rest.fill_diagonal_(0)
    if max(float(rest.abs().max()), float(numbers.abs().max()) if columns else 0) > LARGEST:
        return None
    found = product + rest
    if step:
        found.diagonal().copy_(target.diagonal())
        lift = _lift(found)
        found.diagonal().add_(lift)
    else:
        found.diagonal().copy_(torch.maximum(target.diagonal(), product.diagonal()))
        lift = float((found.diagonal() - product.diagonal()).mean())
    coded = CodedMoment(
        factor=deflate_integers(numbers.to(torch.int32).numpy()),
        factor_scale=factor_scale,
        diagonal=(found.diagonal() * scale.double() ** 2).float(),
        scale=scale,
        residual=deflate_integers(above_diagonal(rest)),
    )
    return _Trial(coded, _loss(problem, (found - target) * unit), lift * unit)


def _lift(matrix: Tensor) -> float:
    """What the diagonal lacks for the matrix to be positive semi-definite."""
    if not int(torch.linalg.cholesky_ex(matrix).info):
        return 0.0
    return max(0.0, -float(torch.linalg.eigvalsh(matrix)[0]))


def _loss(problem: _Scaled, error: Tensor) -> float:
    """tr(E (G + λI)⁻¹ E) / tr(G) of an error on the scale, S⁻¹ E S⁻¹."""
    rows = ((error @ problem.weight) * error).sum(1)
    return float(rows @ problem.scale**2) / float(problem.gram.trace())


def _sums(terms: Tensor) -> Tensor:
    """Sums of the first 0 … k of the last axis: (…, k) → (…, k + 1)."""
    return torch.nn.functional.pad(terms.cumsum(-1), (1, 0))


def _entropy(variance: Tensor) -> Tensor:
    """Bits per integer of rounded noise of this variance, close to the truth from 0.1 on."""
    return 0.5 * torch.log2(1 + 2 * math.pi * math.e * variance)


def _zero(width: int) -> CodedMoment:
    nothing = deflate_integers(np.zeros(0, np.int32))
    return CodedMoment(nothing, torch.zeros(0), torch.zeros(width), torch.zeros(width), nothing)


def _check(gram: Tensor) -> None:
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not len(gram):
        raise ValueError(f"a moment of shape {tuple(gram.shape)} is not square")
    if not bool(gram.isfinite().all()):
        raise ValueError("a moment has values that are not finite")
    size = float(gram.diagonal().abs().max())
    skewed = float((gram - gram.T).abs().max()) > 1e-6 * size
    if skewed or float(gram.diagonal().min()) < 0 or float(gram.abs().max()) > 1.001 * size:
        raise ValueError("a moment is not symmetric and positive")
