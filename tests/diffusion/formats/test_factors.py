"""Factors: balancing changes no product, padding neither, and errors are seen without products."""

from __future__ import annotations

import pytest
import torch
from mos_diffusion.adapters import LoraFactors
from mos_diffusion.formats.factors import balanced, padded, relative_error


def uneven(seed: int = 0) -> LoraFactors:
    generator = torch.Generator().manual_seed(seed)
    down, up = torch.randn(4, 9, generator=generator), torch.randn(7, 4, generator=generator)
    return LoraFactors(down * torch.tensor([[1e-7], [1.0], [1e9], [0.0]]), up * 1e3)


def test_balancing_changes_no_bit_of_the_product_in_float32():
    given = uneven()

    found = balanced(given)

    for k in range(4):
        expected = given.up[:, k, None] * given.down[None, k]
        assert torch.equal(found.up[:, k, None] * found.down[None, k], expected)
        sizes = found.up[:, k].norm(), found.down[k].norm()
        assert k == 3 or 0.4 < sizes[0] / sizes[1] < 2.5


def test_padding_adds_zeros():
    given = uneven()

    found = padded(given, 6)

    assert (found.down.shape, found.up.shape) == ((6, 9), (7, 6))
    assert torch.equal(found.up @ found.down, given.up @ given.down)


@pytest.mark.parametrize("off", [0.0, 1e-7, 1e-3, 1.0])
def test_the_relative_error_is_that_of_the_products(off):
    given = uneven()
    other = LoraFactors(given.down * (1 + off), given.up)

    dense = given.up.double() @ given.down.double()
    change = other.up.double() @ other.down.double() - dense

    expected = float(change.norm() / dense.norm())
    assert relative_error(other, given) == pytest.approx(expected, rel=1e-3, abs=3e-8)


def test_values_that_are_not_finite_are_an_error_of_no_size():
    given = uneven()
    broken = LoraFactors(given.down, given.up * float("nan"))

    assert not relative_error(broken, given) <= 1.0
