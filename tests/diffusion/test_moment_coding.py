"""The coding of moments: what it costs a fusion, and what can't be coded."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest
import torch
from mos_diffusion.coded_moment import CodedMoment, decode_moment
from mos_diffusion.moment_coding import LARGEST_LIFT, RIDGE, encode_moment
from mos_protocol.integer_coding import deflate_integers
from mos_protocol.moments import MAX_ABS_SCALE, largest_factor

WIDTH = 96
ACCURACY = 2e-4


def power_law(exponent: float, mean: float, rank: int = WIDTH, seed: int = 0) -> torch.Tensor:
    """A moment with eigenvalues j^-exponent up to `rank`, and a share of a mean direction."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator).double())[0]
    values = torch.arange(1, WIDTH + 1).double() ** -exponent
    values[rank:] = 0
    gram = (basis * values) @ basis.T
    direction = torch.randn(WIDTH, generator=generator).double()
    gram = gram / gram.trace() * (1 - mean)
    return WIDTH * (gram + mean * torch.outer(direction, direction) / (direction @ direction))


def outliers() -> torch.Tensor:
    scale = torch.ones(WIDTH).double()
    scale[:4] = torch.tensor([60.0, 40.0, 30.0, 100.0]).double()
    return scale[:, None] * power_law(1.0, 0.3) * scale


def dead_features() -> torch.Tensor:
    gram = power_law(1.0, 0.3)
    gram[10:20], gram[:, 10:20] = 0, 0
    return gram


MOMENTS = {
    "power law": lambda: power_law(1.0, 0.3),
    "steep": lambda: power_law(2.0, 0.8),
    "very steep": lambda: power_law(4.0, 0.5),
    "flat": lambda: power_law(0.3, 0.0),
    "white": lambda: torch.eye(WIDTH).double(),
    "20 tokens": lambda: power_law(1.0, 0.3, rank=20),
    "half the rank": lambda: power_law(0.5, 0.3, rank=WIDTH // 2 - 2),
    "nearly full rank": lambda: power_law(1.0, 0.3, rank=WIDTH - 10),
    "one token": lambda: power_law(1.0, 0.0, rank=1),
    "mean direction": lambda: power_law(1.0, 0.99),
    "outlier features": outliers,
    "dead features": dead_features,
    "tiny": lambda: 1e-9 * power_law(1.0, 0.3),
    "large": lambda: 1e5 * power_law(1.0, 0.3),
}


def loss(gram: torch.Tensor, found: torch.Tensor) -> float:
    """tr(E (G + λI)⁻¹ E) / tr(G)."""
    lifted = gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).double()
    error = found - gram
    return float((error @ torch.linalg.solve(lifted, error)).trace() / gram.trace())


@pytest.mark.parametrize("make", MOMENTS.values(), ids=MOMENTS.keys())
@pytest.mark.parametrize("accuracy", [1e-2, ACCURACY, 1e-5])
def test_the_loss_is_at_most_the_accuracy(make, accuracy):
    gram = make()
    found = decode_moment(encode_moment(gram, accuracy))
    assert found.dtype == torch.float64
    assert torch.equal(found, found.T)
    assert loss(gram, found) <= 1.01 * accuracy


@pytest.mark.parametrize("make", MOMENTS.values(), ids=MOMENTS.keys())
def test_what_is_decoded_is_positive_semi_definite_but_for_rounding(make):
    values = torch.linalg.eigvalsh(decode_moment(encode_moment(make(), ACCURACY)))
    assert values[0] > -1e-6 * values[-1]


@pytest.mark.parametrize("make", MOMENTS.values(), ids=MOMENTS.keys())
def test_the_diagonal_is_exact_but_for_a_small_lift(make):
    gram = make()
    found = decode_moment(encode_moment(gram, ACCURACY)).diagonal()
    added = (found - gram.diagonal()) / gram.diagonal().mean()
    assert float(added.min()) > -1e-6
    assert float(added.mean()) < 1.1 * LARGEST_LIFT


@pytest.mark.parametrize("make", MOMENTS.values(), ids=MOMENTS.keys())
def test_the_code_is_smaller_than_the_triangle_and_its_arrays_are_within_bounds(make):
    coded = encode_moment(make(), ACCURACY)
    assert coded.nbytes < 0.6 * 4 * WIDTH * (WIDTH + 1) / 2
    assert len(coded.factor_scale) <= largest_factor(WIDTH)
    for array in (coded.factor_scale, coded.diagonal, coded.scale):
        assert array.dtype == torch.float32
        assert not bool((array < 0).any())
    assert float(coded.scale.max()) <= MAX_ABS_SCALE


def test_the_code_means_what_the_format_says():
    """Decoded by the documented layout alone."""
    coded = encode_moment(power_law(1.0, 0.3), ACCURACY)
    scale, steps = (x.double().numpy() for x in (coded.scale, coded.factor_scale))
    columns = integers(coded.factor, len(steps) * WIDTH).reshape(len(steps), WIDTH) * steps[:, None]
    rest = np.zeros((WIDTH, WIDTH))
    rest[np.triu_indices(WIDTH, 1)] = integers(coded.residual, WIDTH * (WIDTH - 1) // 2)
    expected = scale[:, None] * scale * (columns.T @ columns + rest + rest.T)
    np.fill_diagonal(expected, coded.diagonal.numpy())
    assert len(steps) > 0
    assert rest.any()
    np.testing.assert_allclose(decode_moment(coded).numpy(), expected, rtol=1e-12, atol=1e-12)


def integers(data: bytes, count: int) -> np.ndarray:
    planes = np.frombuffer(zlib.decompress(data[1:], -15), np.int8).reshape(data[0], count)
    return 256.0 ** np.arange(data[0]) @ planes


def test_a_finer_accuracy_takes_more_bytes_and_errs_less():
    gram = power_law(1.0, 0.3)
    codes = [encode_moment(gram, accuracy) for accuracy in (1e-2, 1e-3, 1e-4, 1e-5)]
    sizes = [code.nbytes for code in codes]
    errors = [float((decode_moment(code) - gram).norm()) for code in codes]
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


def test_few_tokens_take_few_bytes():
    full = encode_moment(power_law(1.0, 0.3), ACCURACY).nbytes
    assert encode_moment(power_law(1.0, 0.3, rank=5), ACCURACY).nbytes < full / 2


def test_a_code_is_the_same_every_time():
    gram = power_law(1.0, 0.3)
    one, two = encode_moment(gram, ACCURACY), encode_moment(gram.clone(), ACCURACY)
    assert (one.factor, one.residual) == (two.factor, two.residual)


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_the_smallest_widths_survive(width):
    rows = torch.randn(50, width, generator=torch.Generator().manual_seed(0)).double()
    gram = rows.T @ rows / 50
    found = decode_moment(encode_moment(gram, ACCURACY))
    torch.testing.assert_close(found, gram, rtol=0.02, atol=0.02)
    torch.testing.assert_close(found.diagonal(), gram.diagonal(), rtol=1e-6, atol=1e-6)


def test_zeros_stay_zeros():
    coded = encode_moment(torch.zeros(7, 7), ACCURACY)
    assert torch.equal(decode_moment(coded), torch.zeros(7, 7).double())
    assert coded.nbytes < 100


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (torch.zeros(3, 4), "not square"),
        (torch.zeros(9), "not square"),
        (torch.zeros(0, 0), "not square"),
        (torch.full((3, 3), torch.nan), "not finite"),
        (torch.full((3, 3), torch.inf), "not finite"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (-torch.eye(3), "not symmetric and positive"),
        (1.9 * torch.eye(3) - 0.9, "not positive semi-definite"),
        (torch.tensor([[0.0, 1.0], [1.0, 0.0]]), "not .*positive"),
    ],
)
def test_a_matrix_that_is_no_moment_is_refused(matrix, reason):
    with pytest.raises(ValueError, match=reason):
        encode_moment(matrix, ACCURACY)


@pytest.mark.parametrize("accuracy", [0.0, -1.0, 0.2, float("nan")])
def test_an_accuracy_out_of_range_is_refused(accuracy):
    with pytest.raises(ValueError, match="accuracy"):
        encode_moment(torch.eye(3), accuracy)


def test_damaged_integers_are_told(tmp_path):
    coded = encode_moment(power_law(1.0, 0.3), ACCURACY)
    short = deflate_integers(np.ones(10, np.int32))
    for part in ("factor", "residual"):
        with pytest.raises(ValueError, match="fewer than expected"):
            decode_moment(dataclasses.replace(coded, **{part: short}))


def test_many_coded_moments_fuse_as_the_exact_ones_do():
    """The objective of N concepts' best common update, by coded and by exact moments."""
    generator = torch.Generator().manual_seed(1)
    for name, count in (("power law", 2), ("20 tokens", 14), ("steep", 6)):
        shape = {"power law": (1.0, 0.3), "20 tokens": (1.0, 0.3, 20), "steep": (2.0, 0.8)}[name]
        grams = [power_law(*shape, seed=seed) for seed in range(count)]
        updates = [
            torch.randn(8, 4, generator=generator).double()
            @ torch.randn(4, WIDTH, generator=generator).double()
            for _ in grams
        ]
        found = [decode_moment(encode_moment(gram, ACCURACY)) for gram in grams]
        exact = objective(fused(grams, updates), grams, updates)
        coded = objective(fused(found, updates), grams, updates)
        start = objective(torch.zeros(8, WIDTH).double(), grams, updates)
        assert coded - exact < 1e-3 * start


def fused(grams: list[torch.Tensor], updates: list[torch.Tensor]) -> torch.Tensor:
    total, mean = sum(grams), sum(updates) / len(updates)
    target = sum(update @ gram for update, gram in zip(updates, grams, strict=True))
    ridge = RIDGE * total.diagonal().mean() * torch.eye(WIDTH).double()
    return mean + torch.linalg.solve(total + ridge, (target - mean @ total).T).T


def objective(delta, grams, updates) -> float:
    pairs = zip(grams, updates, strict=True)
    return float(
        sum((((delta - update) @ gram) * (delta - update)).sum() for gram, update in pairs)
    )


def test_a_coded_moment_counts_its_bytes():
    coded = CodedMoment(b"123", torch.zeros(2), torch.zeros(5), torch.zeros(5), b"12")
    assert coded.nbytes == 5 + 4 * 12
