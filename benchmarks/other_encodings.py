"""Other ways to store a second moment, for comparison with the one in use.

Each takes G (d, d) fp64 and returns what is read back, and its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from mos_diffusion.coded_moment import decode_moment
from mos_diffusion.moment_coding import encode_moment
from torch import Tensor

Encoding = Callable[[Tensor], tuple[Tensor, int]]


def coded(gram: Tensor, *, accuracy: float) -> tuple[Tensor, int]:
    """The moments file's coding."""
    code = encode_moment(gram, accuracy)
    return decode_moment(code), code.nbytes


def float32_triangle(gram: Tensor) -> tuple[Tensor, int]:
    """The upper triangle in float32."""
    return gram.float().double(), 4 * _triangle(gram)


def float16_triangle(gram: Tensor) -> tuple[Tensor, int]:
    """Correlations in float16, and the features' sizes in float32."""
    found, scale = _correlations(gram)
    found = found.half().double()
    return scale[:, None] * found * scale, 2 * _triangle(gram) + 4 * len(gram)


def int8_triangle(gram: Tensor) -> tuple[Tensor, int]:
    """Correlations in steps of 1/127, and the features' sizes in float32."""
    found, scale = _correlations(gram)
    found = (found * 127).round() / 127
    return scale[:, None] * found * scale, _triangle(gram) + 4 * len(gram)


def eigenvectors(gram: Tensor, *, share: float) -> tuple[Tensor, int]:
    """The largest eigenvectors in float16, and what the diagonal has beyond them in float32."""
    count = round(share * len(gram))
    values, vectors = torch.linalg.eigh(gram)
    factor = vectors[:, -count:] * values[-count:].clamp(min=0).sqrt()
    largest = factor.abs().amax(0).clamp(min=1e-30)
    factor = (factor / largest).half().double() * largest
    found = factor @ factor.T
    found += torch.diag((gram.diagonal() - found.diagonal()).clamp(min=0))
    return found, 2 * factor.numel() + 4 * count + 4 * len(gram)


OTHERS: dict[str, Encoding] = {
    "float32 triangle": float32_triangle,
    "float16 triangle": float16_triangle,
    "int8 triangle": int8_triangle,
    "eigenvectors, a half": partial(eigenvectors, share=0.5),
    "eigenvectors, a quarter": partial(eigenvectors, share=0.25),
}


def _triangle(gram: Tensor) -> int:
    return len(gram) * (len(gram) + 1) // 2


def _correlations(gram: Tensor) -> tuple[Tensor, Tensor]:
    scale = gram.diagonal().clamp(min=1e-30).sqrt()
    return gram / scale[:, None] / scale, scale
