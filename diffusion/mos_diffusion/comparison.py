"""Comparing two moments of one layer input: what one claims, and what was seen when it was checked.

    beyond = tr(S (R + μI)⁻¹) / d      missing = tr(R (S + μI)⁻¹) / d      overlap = tr(SR)/‖S‖‖R‖

Both are scaled to a trace of d first, so that only their shape counts: at most 1 when they agree,
and less the more of them lies below μ. `beyond` grows with energy that S claims where R has none,
`missing` with the opposite.
Legend: S submitted, R recorded, d width. All float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FLOOR = 1e-2
"""μ: below this share of the mean, energy is taken for noise of the recording."""


@dataclass(frozen=True)
class Difference:
    """How two moments differ. energy: the ratio of their traces, submitted over recorded."""

    energy: float
    overlap: float
    beyond: float
    missing: float


def difference(submitted: Tensor, recorded: Tensor) -> Difference:
    """Compare two moments (d, d), positive semi-definite."""
    energy = float(submitted.trace()) / max(float(recorded.trace()), 1e-300)
    one, other = _scaled(submitted), _scaled(recorded)
    sizes = float(one.norm()) * float(other.norm())
    return Difference(
        energy=energy,
        overlap=float((one * other).sum()) / sizes if sizes else 0.0,
        beyond=_against(one, other),
        missing=_against(other, one),
    )


def _scaled(moment: Tensor) -> Tensor:
    trace = float(moment.trace())
    return moment * (len(moment) / trace) if trace > 0 else moment


def _against(one: Tensor, other: Tensor) -> float:
    """tr(one (other + μI)⁻¹) / d."""
    lifted = other.clone()
    lifted.diagonal().add_(FLOOR)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(lifted))
    return float((one * inverse).sum()) / len(one)
