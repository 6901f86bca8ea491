"""Error correction: the rate-1/2 convolutional code of constraint length 7, decoded by Viterbi.

Soft values go in, so a bit that is barely readable weighs less than a clear one. The generators
are 133 and 171 (octal), those of the Voyager probes and of Wi-Fi.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEMORY = 6
"""Bits that every coded pair looks back on, and zeros that end a message."""
_GENERATORS = (0o133, 0o171)
_STATES = np.arange(1 << MEMORY)
_BEFORE = np.stack((_STATES >> 1, _STATES >> 1 | 1 << (MEMORY - 1)), axis=1)
"""(64, 2): the states from which each state is reached; its last bit is the one that was read."""


def _pairs() -> NDArray[np.float64]:
    """(64, 2, 2): the pair, as ±1, that is sent on the way into a state from each one before it."""
    registers = (_BEFORE << 1) | (_STATES & 1)[:, None]
    parities = [np.bitwise_count(registers & generator) & 1 for generator in _GENERATORS]
    return 2.0 * np.stack(parities, axis=-1) - 1


_PAIRS = _pairs()


def coded_length(bits: int) -> int:
    """How many coded bits a message of `bits` becomes."""
    return 2 * (bits + MEMORY)


def encode(bits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bits (n,) → coded bits (2 (n + 6),) as ±1."""
    state, pairs = 0, []
    for bit in (*bits.tolist(), *[False] * MEMORY):
        came_from, state = state, (state << 1 | bit) & (len(_STATES) - 1)
        pairs.append(_PAIRS[state, came_from >> (MEMORY - 1)])
    return np.concatenate(pairs)


def decode(soft: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Soft values (2 (n + 6),), positive for 1, the larger the surer → the likeliest bits (n,)."""
    # A message starts with nothing behind it.
    score = np.where(_STATES == 0, 0.0, -np.inf)
    choices = []
    for pair in soft.reshape(-1, 2):
        candidates = score[_BEFORE] + _PAIRS @ pair
        choices.append(candidates.argmax(axis=1))
        score = candidates.max(axis=1)
    state, bits = 0, []
    for choice in reversed(choices):
        bits.append(bool(state & 1))
        state = int(_BEFORE[state, choice[state]])
    return np.array(bits[::-1][:-MEMORY], bool)
