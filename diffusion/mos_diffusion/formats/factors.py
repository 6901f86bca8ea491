"""The fused update as factors for other tools: balanced before they are rounded, and compared.

Legend: R rank, up (d_out, R), down (R, d_in).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mos_diffusion.adapters import LoraFactors


def balanced(factors: LoraFactors) -> LoraFactors:
    """The same product with columns of up as large as the rows of down, fp32.

    float16 has its precision between 6e-5 and 65504. The scales are powers of two, so that in
    float32 nothing is rounded at all.
    """
    up, down = factors.up.float(), factors.down.float()
    sizes = up.double().norm(dim=0), down.double().norm(dim=1)
    ratio = torch.where((sizes[0] > 0) & (sizes[1] > 0), sizes[1] / sizes[0], 1.0)
    scale = torch.exp2(torch.log2(ratio.clamp(2.0**-60, 2.0**60)).div(2).round()).float()
    return LoraFactors(down / scale[:, None], up * scale)


def padded(factors: LoraFactors, rank: int) -> LoraFactors:
    """The same product with zeros up to `rank`."""
    more = rank - len(factors.down)
    down = torch.cat([factors.down, factors.down.new_zeros(more, factors.down.shape[1])])
    return LoraFactors(
        down, torch.cat([factors.up, factors.up.new_zeros(len(factors.up), more)], 1)
    )


def relative_error(found: LoraFactors, expected: LoraFactors) -> float:
    """‖found − expected‖ / ‖expected‖ of the products (Frobenius), without forming them.

    With X = [up_f, −up_e] and Y = [down_f; down_e] the difference is X Y, and ‖X Y‖² = tr(XᵀX YYᵀ).
    In float64 it sees differences down to 1e-8.
    """
    ups = torch.cat([found.up.double(), -expected.up.double()], 1)
    downs = torch.cat([found.down.double(), expected.down.double()])
    size = _product_norm(expected.up.double(), expected.down.double())
    difference = _product_norm(ups, downs)
    return difference / size if size else difference


def _product_norm(up: Tensor, down: Tensor) -> float:
    square = ((up.T @ up) * (down @ down.T)).sum()
    return float(square.clamp(min=0).sqrt())
