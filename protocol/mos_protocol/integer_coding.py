"""Small integers as deflated bytes: how moments files keep what is mostly noise around zero.

The first byte says how many bytes an integer takes (0: all are zero, and nothing follows). Then
comes one raw deflate stream with a plane of bytes after the other, the lowest first. A plane holds
a digit of every integer in base 256, from -128 to 127: numbers near zero leave the higher planes
empty.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MAX_BYTES_PER_INTEGER = 3
LARGEST = (1 << 23) - (1 << 16)
_PIECE = 1 << 20


def deflate_integers(values: NDArray[np.int32]) -> bytes:
    """Code integers of at most `LARGEST` in size; raises `ValueError` for larger ones."""
    flat = values.ravel()
    if np.abs(flat).max(initial=0) > LARGEST:
        raise ValueError(f"an integer is beyond {LARGEST}")
    planes = []
    while flat.any():
        digits = flat.astype(np.int8)
        planes.append(digits.tobytes())
        flat = (flat - digits) >> 8
    # Run-length matching only: noise holds no longer repetitions, and zeros are runs.
    coder = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    return bytes([len(planes)]) + coder.compress(b"".join(planes)) + coder.flush()


def inflate_integers(data: bytes | memoryview, count: int) -> NDArray[np.int32]:
    """Decode exactly `count` integers; raises `ValueError` for anything else.

    Never makes more than `MAX_BYTES_PER_INTEGER` bytes per integer, whatever the stream says.
    """
    planes = _planes(data)
    digits = b"".join(_inflated(data, planes * count))
    values = np.zeros(count, np.int32)
    for plane in range(planes):
        found = np.frombuffer(digits, np.int8, count, plane * count)
        values += found.astype(np.int32) << (8 * plane)
    return values


def check_integers(data: bytes | memoryview, count: int) -> None:
    """Check that `inflate_integers` would succeed, in small memory; raises `ValueError`."""
    for _ in _inflated(data, _planes(data) * count):
        pass


def longest_code(count: int) -> int:
    """The most bytes that `count` integers take: deflate adds little to what it can't shorten."""
    size = MAX_BYTES_PER_INTEGER * count
    return size + size // 64 + 64


def _planes(data: bytes | memoryview) -> int:
    planes = data[0] if len(data) else -1
    if not 0 <= planes <= MAX_BYTES_PER_INTEGER:
        raise ValueError(f"says {planes} bytes per integer; at most {MAX_BYTES_PER_INTEGER}")
    return planes


def _inflated(data: bytes | memoryview, size: int) -> Iterator[bytes]:
    """Yield pieces of what the stream holds, which must be exactly `size` bytes."""
    decoder = zlib.decompressobj(-15)
    left, rest = size, bytes(data[1:])
    try:
        while not decoder.eof:
            piece = decoder.decompress(rest, min(left, _PIECE) + 1)
            if not piece and not decoder.eof:
                raise ValueError("coded integers end too early")
            left -= len(piece)
            if left < 0:
                raise ValueError("coded integers are more than expected")
            yield piece
            rest = decoder.unconsumed_tail
    except zlib.error:
        raise ValueError("coded integers are damaged") from None
    if left:
        raise ValueError("coded integers are fewer than expected")
    if decoder.unused_data:
        raise ValueError("coded integers are followed by something else")
