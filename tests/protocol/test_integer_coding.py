"""Integers as deflated byte planes, honest and hostile."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from mos_protocol.integer_coding import (
    LARGEST,
    check_integers,
    deflate_integers,
    inflate_integers,
    longest_code,
)


def noise(spread: float, count: int = 1000) -> np.ndarray:
    return np.random.default_rng(0).normal(0, spread, count).round().astype(np.int32)


def stream(planes: int, data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return bytes([planes]) + coder.compress(data) + coder.flush()


@pytest.mark.parametrize("spread", [0, 0.3, 30, 3000, 1e6])
def test_integers_of_any_size_survive(spread):
    values = noise(spread)
    coded = deflate_integers(values)
    assert np.array_equal(inflate_integers(coded, 1000), values)
    assert len(coded) <= longest_code(1000)
    check_integers(coded, 1000)


def test_the_edges_of_every_byte_and_the_largest_survive():
    edges = [-129, -128, -127, 127, 128, 255, 256, -32768, 32767, 32768, LARGEST, -LARGEST]
    values = np.array(edges, np.int32)
    assert inflate_integers(deflate_integers(values), len(edges)).tolist() == edges


def test_no_integers_and_only_zeros_take_one_byte():
    for count in (0, 5000):
        coded = deflate_integers(np.zeros(count, np.int32))
        assert coded[0] == 0
        assert len(coded) <= 3
        assert inflate_integers(coded, count).tolist() == [0] * count


def test_noise_takes_hardly_more_than_its_entropy():
    values = noise(3, 100_000)
    _, counts = np.unique(values, return_counts=True)
    shares = counts / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    assert 8 * len(deflate_integers(values)) < 1.03 * entropy * len(values)


def test_an_integer_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="beyond"):
        deflate_integers(np.array([LARGEST + 1], np.int32))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "-1 bytes per integer"),
        (stream(4, b"\1" * 4000), "4 bytes per integer"),
        (stream(1, b"\1" * 999), "fewer"),
        (stream(1, b"\1" * 1001), "more"),
        (stream(2, b"\1" * 1000), "fewer"),
        (stream(1, b"\1" * 1000)[:-1], "too early"),
        (stream(1, b"\1" * 1000)[:3], "too early"),
        (b"\1", "too early"),
        (stream(1, b"\1" * 1000) + b"more", "followed"),
        (b"\1" + b"\xff" * 50, "damaged"),
        (b"\0more", "damaged|early|fewer"),
    ],
)
def test_a_stream_of_anything_else_is_refused(data, reason):
    for read in (inflate_integers, check_integers):
        with pytest.raises(ValueError, match=reason):
            read(data, 1000)


def test_a_bomb_is_refused_in_small_memory():
    bomb = stream(1, b"\0" * (256 << 20))
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than expected"):
        inflate_integers(bomb, 1000)
    with pytest.raises(ValueError, match="more than expected"):
        check_integers(bomb, 1000)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
