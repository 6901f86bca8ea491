"""The arithmetic of base plus delta, against the plainest possible loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mos_center.fusion.delta import add_delta, round_to


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7, 5, 3), (300, 900, 6), (1, 1, 1)])
def test_it_is_the_documented_loop(dtype, shape):
    d_out, d_in, rank = shape
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.standard_normal((d_out, d_in))).to(dtype)
    up = rng.standard_normal((d_out, rank)).astype("f4")
    down = rng.standard_normal((rank, d_in)).astype("f4")

    total = weight.double().numpy().copy()
    for k in range(rank):
        total += up[:, k, None].astype("f8") * down[k, None, :].astype("f8")
    expected = torch.from_numpy(total.astype("f4")).to(dtype)

    assert torch.equal(add_delta(weight, torch.from_numpy(up), torch.from_numpy(down)), expected)


def test_the_base_is_left_as_it_was():
    weight = torch.ones(2, 2, dtype=torch.float64)
    add_delta(weight, torch.ones(2, 1), torch.ones(1, 2))
    assert torch.equal(weight, torch.ones(2, 2, dtype=torch.float64))


def test_sixteen_bit_values_are_rounded_by_way_of_float32():
    # Just above the middle of 1 and the next float16; float32 can't tell it from the middle.
    value = torch.tensor([1 + 2.0**-11 + 2.0**-40], dtype=torch.float64)
    assert round_to(value, torch.float16).item() == 1.0
    assert value.numpy().astype(np.float16)[0] > 1.0
