"""Reading moments without torch, one input at a time: for checks that look at what they say.

The files must have passed `check_moments`. Legend: d width, k columns, n tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mos_protocol.integer_coding import inflate_integers
from mos_protocol.moments import CODED, RAW, pairs
from mos_protocol.tensors import TensorEntry, read_tensor

Matrix = NDArray[np.float64]
_TOKENS = 4096


def read_moment(path: Path, entries: Mapping[str, TensorEntry], name: str) -> Matrix:
    """The moment (d, d) of the input `name`; of activations, their mean of x xᵀ.

    entries: the file's header. Raises `KeyError` for an input that is not in the file.
    """
    raw = entries.get(f"{name}.{RAW}")
    if raw is not None:
        return _reduced(path, raw)

    arrays = {part: entries[f"{name}.{part}"] for part in CODED}
    scale, columns = read_tensor(path, arrays["scale"]), read_tensor(path, arrays["factor_scale"])
    width = len(scale)
    numbers = inflate_integers(_read(path, arrays["factor"]), width * len(columns))
    factor = numbers.reshape(len(columns), width) * (columns[:, None] * scale)
    matrix: Matrix = factor.T @ factor
    rest = inflate_integers(_read(path, arrays["residual"]), pairs(width))
    _add_mirrored(matrix, rest, scale)
    np.fill_diagonal(matrix, read_tensor(path, arrays["diagonal"]))
    return matrix


def _add_mirrored(matrix: Matrix, rest: NDArray[np.int32], scale: Matrix) -> None:
    """Add sᵢ sₖ qᵢₖ on both sides of the diagonal."""
    start = 0
    for row in range(len(matrix) - 1):
        end = start + len(matrix) - 1 - row
        added = rest[start:end] * (scale[row] * scale[row + 1 :])
        matrix[row, row + 1 :] += added
        matrix[row + 1 :, row] += added
        start = end


def _reduced(path: Path, entry: TensorEntry) -> Matrix:
    count, width = entry.spec.shape
    total = np.zeros((width, width))
    with path.open("rb") as file:
        file.seek(entry.begin)
        for start in range(0, count, _TOKENS):
            rows = min(_TOKENS, count - start)
            piece = np.frombuffer(file.read(2 * rows * width), "<f2").reshape(rows, width)
            tokens = piece.astype(np.float32)
            total += tokens.T @ tokens
    return total / count


def _read(path: Path, entry: TensorEntry) -> bytes:
    with path.open("rb") as file:
        file.seek(entry.begin)
        return file.read(entry.end - entry.begin)
