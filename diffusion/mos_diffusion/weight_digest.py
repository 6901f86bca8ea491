"""The digest over a base model's weights, taken piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from mos_protocol.names import Digest

_PIECE = 1 << 20


class WeightDigest:
    """A sha256 over named weights in the order of their names.

    Values are rounded to float16 first, so float32 and float16 copies agree (bfloat16 ones
    don't).
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, name: str, shape: Sequence[int]) -> None:
        """Begin a weight; its values follow."""
        self._sha256.update(f"{name} {list(shape)}\n".encode())

    def values(self, values: torch.Tensor) -> None:
        """Go on with the weight's next values, row by row; they may come in several pieces."""
        for piece in torch.split(values.flatten(), _PIECE):
            self._sha256.update(piece.to("cpu", torch.float16).contiguous().numpy().data)

    def digest(self) -> Digest:
        """The digest of all that was added."""
        return Digest(self._sha256.hexdigest())
