"""A coded second moment: a few columns, a quantised rest, and the exact diagonal.

    G'ᵢₖ = sᵢ sₖ (Σⱼ cⱼ² nᵢⱼ nₖⱼ + qᵢₖ)   for i ≠ k,        G'ᵢᵢ = gᵢ

with integers n (d, k) and q, which are near zero and deflate well. Legend: d width, k columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from mos_protocol.integer_coding import inflate_integers
from mos_protocol.moments import pairs
from torch import Tensor

_BAND = 256


@dataclass(frozen=True)
class CodedMoment:
    """The arrays of a coded moment. factor and residual are coded integers, n and q (row by row,
    above the diagonal); factor_scale: c (k,), diagonal: g (d,), scale: s (d,), float32.
    """

    factor: bytes
    factor_scale: Tensor
    diagonal: Tensor
    scale: Tensor
    residual: bytes

    @property
    def nbytes(self) -> int:
        numbers = len(self.factor_scale) + len(self.diagonal) + len(self.scale)
        return len(self.factor) + len(self.residual) + 4 * numbers


def decode_moment(coded: CodedMoment) -> Tensor:
    """G' (d, d) fp64; raises `ValueError` when the coded integers are damaged."""
    width, columns = len(coded.scale), len(coded.factor_scale)
    numbers = inflate_integers(coded.factor, width * columns)
    factor = torch.from_numpy(numbers.reshape(columns, width)).double()
    scale = coded.scale.double()
    factor *= coded.factor_scale.double()[:, None] * scale
    matrix = upper_product(factor)
    rest = inflate_integers(coded.residual, pairs(width))
    _add_above_diagonal(matrix.numpy(), rest, scale.numpy())
    mirror(matrix)
    matrix.diagonal().copy_(coded.diagonal)
    return matrix


def upper_product(factor: Tensor) -> Tensor:
    """factorᵀ factor of (k, d): (d, d), of which only what is above the diagonal means anything."""
    width = factor.shape[1]
    matrix = torch.empty(width, width, dtype=torch.float64)
    for start in range(0, width, _BAND):
        band = slice(start, start + _BAND)
        torch.mm(factor[:, band].T, factor[:, start:], out=matrix[band, start:])
    return matrix


def _add_above_diagonal(matrix: np.ndarray, rest: np.ndarray, scale: np.ndarray) -> None:
    """Add sᵢ sₖ qᵢₖ above the diagonal."""
    start = 0
    for row in range(len(matrix) - 1):
        end = start + len(matrix) - 1 - row
        matrix[row, row + 1 :] += rest[start:end] * (scale[row] * scale[row + 1 :])
        start = end


def mirror(matrix: Tensor) -> None:
    """Make (d, d) symmetric: what is above the diagonal counts."""
    for start in range(0, len(matrix), _BAND):
        band, below = slice(start, start + _BAND), slice(start + _BAND, None)
        matrix[below, band] = matrix[band, below].T
        square = matrix[band, band]
        square.copy_(square.triu() + square.triu(1).T)


def above_diagonal(matrix: Tensor) -> np.ndarray:
    """What is above the diagonal of (d, d), row by row: (d(d−1)/2,) int32."""
    rows = matrix.to(torch.int32).numpy()
    return rows[np.triu_indices(len(rows), 1)]
