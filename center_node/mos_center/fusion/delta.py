"""The fused delta as low-rank factors, and the one arithmetic that turns it into weights.

    W = W₀ as float64;   for k = 0 … R−1:  W += up[:, k] ⊗ down[k, :]  in float64
    W is rounded to float32, and from there to the base's dtype when that is a 16-bit one.

Factors are float32, so every product is exact in float64 and only the additions round: any
implementation that adds in this order gets the same bits, fused multiply-add or not.
Legend: R rank of the delta, W₀ (d_out, d_in) the base's weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

FORMAT = "mos-delta/1"
# A strip of rows stays in the processor's cache while all R products are added to it.
_STRIP_BYTES = 1 << 19


def add_delta(weight: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """W₀ + up·down in the dtype of `weight`; up (d_out, R) and down (R, d_in) float32.

    The weight is (d_out, d_in), or (d_out, d_in, 1, 1) for a 1×1 convolution.
    """
    total = weight.to(torch.float64, copy=True).reshape(weight.shape[:2])
    columns, rows = up.double().T.contiguous(), down.double()
    height = max(1, _STRIP_BYTES // (8 * total.shape[1]))
    for start in range(0, len(total), height):
        strip = total[start : start + height]
        for column, row in zip(columns, rows, strict=True):
            strip.addr_(column[start : start + height], row)
    return round_to(total, weight.dtype).reshape(weight.shape)


def round_to(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round float64 to float32, then to a 16-bit `dtype`; float64 stays as it is."""
    return values if dtype is torch.float64 else values.to(torch.float32).to(dtype)
