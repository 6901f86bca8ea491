from __future__ import annotations

import numpy as np
import pytest
from mos_diffusion.convolutional_code import coded_length, decode, encode

MESSAGE = np.random.default_rng(1).random(80) < 0.5


def test_a_message_comes_back():
    coded = encode(MESSAGE)
    assert coded.shape == (coded_length(80),)
    assert set(np.unique(coded)) == {-1, 1}
    assert np.array_equal(decode(coded), MESSAGE)


def test_the_first_bit_is_sent_by_both_generators():
    # 133 and 171 in octal are 1011011 and 1111001, sent from their ends.
    pairs = encode(np.array([True])).reshape(-1, 2) > 0
    assert ["".join("01"[bit] for bit in column[::-1]) for column in pairs.T.tolist()] == [
        "1011011",
        "1111001",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_one_wrong_bit_in_twenty_is_put_right(seed):
    coded = encode(MESSAGE)
    wrong = np.random.default_rng(seed).permutation(len(coded))[: len(coded) // 20]
    coded[wrong] *= -1
    assert np.array_equal(decode(coded), MESSAGE)


def test_a_doubtful_bit_weighs_less_than_a_clear_one():
    soft = encode(MESSAGE)
    # A fifth of the bits is wrong, but hardly says so.
    soft[::5] *= -0.1
    assert np.array_equal(decode(soft), MESSAGE)
    soft[::5] *= 10
    assert not np.array_equal(decode(soft), MESSAGE)
