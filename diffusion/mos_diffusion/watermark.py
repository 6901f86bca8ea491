"""An invisible mark in a picture's luminance that survives JPEG and rescaling.

The mark, a checksum and error correction make 172 bits. Each is spread as ±1 over some seventy
mid frequencies of the luminance's cosine transform, and read as the sign of

    r = Σ s z / √n,    z = clip(w c, ±2.5),    w = 1 / √(mean of c² around it + 16)

where s is the fixed sequence of signs and c the coefficients. Frequencies count from the frame of
the picture, not in pixels: rescaling leaves them where they are, and half of 512 pixels still has
all of them. Embedding looks at the picture first and adds only what the bits lack: all are raised
to one level, as high as the distortion may be, and busy places change more than flat ones.

Who knows this file can remove or forge a mark. It tells honest people where a picture came from.
Legend: c coefficients (K, K) in units of a picture of 256×256; h, w pixels; float32.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mos_diffusion.convolutional_code import coded_length, decode, encode

MARK_BITS = 48
MARK_DIGITS = MARK_BITS // 4
MIN_SIDE = 512
"""Smaller pictures have no room for an invisible mark."""
MIN_PSNR = 38.3
"""dB: no picture is changed more, not even where that makes the mark unreadable."""

# Columns and rows of the sheets that we make, of up to 16 pictures.
_SHEETS = ((1, 1), (2, 1), (2, 2), (4, 1), (3, 2), (3, 3), (4, 3), (4, 4))
_CHECK_BITS = 32
_CODED = coded_length(MARK_BITS + _CHECK_BITS)
_LOWEST, _K = 16, 128
_UNIT = 256
_FLOOR = 16.0
_CLIP = 2.5
_AROUND = 5
_LEVEL = 4.0
"""How far every bit is raised where the distortion allows it; noise has the deviation 1."""
_ENOUGH = 0.8
"""Below it, the change may be as large everywhere as in a busy place."""
_PASSES = 2
_TILE = 8
_QUIET, _MASKED, _BUSY = 1.0, 0.25, 5.0
"""Grey levels that may change in a flat place, more per grey level of deviation, and at most."""

Coefficients = NDArray[np.float32]


def has_room(picture: Image.Image) -> bool:
    """Whether the picture is large enough for a mark."""
    return min(picture.size) >= MIN_SIDE


def embed(picture: Image.Image, mark: str) -> Image.Image:
    """The picture (RGB, at least 512 a side) with the mark (12 hexadecimal digits) in it."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    luminance = _luminance(pixels)
    signs, host = encode(_message(mark)), _transform(luminance)
    spread = _weights(host).ravel()[_places()] * _sequence()
    have = signs * _soft(host)
    plan = _plan(have, spread, _room(luminance))
    if plan.level < _ENOUGH:
        plan = _plan(have, spread, np.full_like(luminance, _BUSY))
    pattern = np.zeros(_K * _K, np.float32)
    marked = pixels
    for _ in range(_PASSES):
        lacking = np.maximum(0, plan.level - have)
        pattern[_places()] += (signs * lacking / plan.gain)[:, None] * spread
        change = plan.bounded(plan.room * _inverse(pattern.reshape(_K, _K), *luminance.shape))
        # Black and white have no room on one side, so the next pass looks at what came of it.
        marked = np.clip(np.rint(pixels + change[..., None]), 0, 255)
        have = signs * _soft(_transform(_luminance(marked)))
    return Image.fromarray(marked.astype(np.uint8))


def read(picture: Image.Image) -> str | None:
    """The mark in the picture, whatever its size; None where there is none to be read."""
    if min(picture.size) < _K:
        return None
    luminance = _luminance(np.asarray(picture.convert("RGB"), np.float32))
    bits = np.packbits(decode(_soft(_transform(luminance)))).tobytes()
    mark, check = bits[: MARK_BITS // 8], bits[MARK_BITS // 8 :]
    return mark.hex() if zlib.crc32(mark).to_bytes(4) == check else None


def read_sheet(picture: Image.Image) -> str | None:
    """The mark in the picture, or in the first of those that lie side by side in it."""
    for columns, rows in _SHEETS:
        cell = picture.width // columns, picture.height // rows
        mark = read(picture.crop((0, 0, *cell)))
        if mark is not None:
            return mark
    return None


def _message(mark: str) -> NDArray[np.bool_]:
    """The mark and its checksum as bits (80,)."""
    content = bytes.fromhex(mark)
    if len(content) != MARK_BITS // 8:
        raise ValueError(f"a mark has {MARK_DIGITS} hexadecimal digits, not {len(mark)}")
    whole = content + zlib.crc32(content).to_bytes(_CHECK_BITS // 8)
    return np.unpackbits(np.frombuffer(whole, np.uint8)).astype(bool)


def _soft(coefficients: Coefficients) -> NDArray[np.float64]:
    """r for every coded bit (172,)."""
    whitened = np.clip(coefficients * _weights(coefficients), -_CLIP, _CLIP)
    spread = whitened.ravel()[_places()] * _sequence()
    values: NDArray[np.float64] = spread.sum(axis=1, dtype=np.float64) / np.sqrt(spread.shape[1])
    return values


def _weights(coefficients: Coefficients) -> Coefficients:
    """w (K, K): one over the strength of the picture around each frequency."""
    energy = coefficients**2
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(energy, _AROUND // 2, mode="reflect"), (_AROUND, _AROUND)
    )
    weights: Coefficients = 1 / np.sqrt(around.mean(axis=(2, 3)) + np.float32(_FLOOR))
    return weights


def _room(luminance: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each pixel (h, w) may change, in grey levels: more where it is busy."""
    whole = Image.fromarray(luminance)
    coarse = (max(1, whole.width // _TILE), max(1, whole.height // _TILE))
    mean = np.asarray(whole.resize(coarse, Image.Resampling.BOX))
    square = np.asarray(Image.fromarray(luminance**2).resize(coarse, Image.Resampling.BOX))
    deviation = Image.fromarray(np.sqrt(np.maximum(0, square - mean**2)))
    around = np.asarray(deviation.resize(whole.size, Image.Resampling.BILINEAR))
    return np.float32(_QUIET) + np.minimum(np.float32(_MASKED) * around, np.float32(_BUSY))


@dataclass(frozen=True)
class _Plan:
    """How to change a picture: where (h, w), what raises each bit (172,), and how far.

    gain: what one unit of a bit's frequencies adds to r; error: the mean squared change allowed.
    """

    room: NDArray[np.float32]
    gain: NDArray[np.float32]
    level: float
    error: float

    def bounded(self, change: NDArray[np.float32]) -> NDArray[np.float32]:
        """The change, made smaller where it is more than is allowed."""
        error = max(float(np.mean(change**2)), 1e-12)
        return change * np.float32(min(1.0, np.sqrt(self.error / error)))


def _plan(
    have: NDArray[np.float64], spread: NDArray[np.float32], room: NDArray[np.float32]
) -> _Plan:
    """Raise all bits to the highest level that the room allows, `_LEVEL` at most."""
    energy = (spread**2).sum(axis=1)
    gain = room.mean() * energy / np.sqrt(spread.shape[1])
    available = float(np.mean(room**2))
    error = min(available, 255**2 / 10 ** (MIN_PSNR / 10))
    cost = energy / gain**2 / _UNIT**2 * available
    low, high = float(have.min()), _LEVEL
    for _ in range(24):
        middle = (low + high) / 2
        fits = float((cost * np.maximum(0, middle - have) ** 2).sum()) <= error
        low, high = (middle, high) if fits else (low, middle)
    return _Plan(room, gain, low, error)


def _luminance(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return pixels @ np.array([0.299, 0.587, 0.114], np.float32)


def _transform(luminance: NDArray[np.float32]) -> Coefficients:
    """The lowest K × K coefficients of the cosine transform of a picture (h, w)."""
    height, width = luminance.shape
    scale = np.float32(_UNIT / np.sqrt(height * width))
    return (_cosines(height) @ luminance @ _cosines(width).T * scale).astype(np.float32, copy=False)


def _inverse(coefficients: Coefficients, height: int, width: int) -> NDArray[np.float32]:
    """The picture (h, w) with these coefficients and no others."""
    scale = np.float32(np.sqrt(height * width) / _UNIT)
    picture = _cosines(height).T @ coefficients @ _cosines(width) * scale
    return picture.astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _cosines(length: int) -> NDArray[np.float32]:
    """The first K rows of the orthonormal cosine transform (K, length), without the mean's ½."""
    at = (np.arange(length) + 0.5) / length
    rows = np.sqrt(2 / length) * np.cos(np.pi * np.arange(_K)[:, None] * at)
    return np.asarray(rows, np.float32)


@lru_cache(maxsize=1)
def _places() -> NDArray[np.int64]:
    """(172, n): the flat indices of the frequencies that carry each coded bit."""
    down, across = np.mgrid[1:_K, 1:_K]
    radius = np.hypot(down, across)
    band = (down * _K + across)[(radius >= _LOWEST) & (radius < _K)]
    order = np.argsort(np.frombuffer(_stream("places", 8 * len(band)), "<u8"), kind="stable")
    each = len(band) // _CODED
    places: NDArray[np.int64] = band[order][: each * _CODED].reshape(_CODED, each)
    return places


@lru_cache(maxsize=1)
def _sequence() -> NDArray[np.float32]:
    """(172, n): s, the signs."""
    shape = _places().shape
    signs = np.frombuffer(_stream("signs", shape[0] * shape[1]), np.uint8) & 1
    return (2 * signs.astype(np.float32) - 1).reshape(shape)


def _stream(purpose: str, length: int) -> bytes:
    """Bytes that are the same for ever, unlike those of a library's generator."""
    return hashlib.shake_256(f"mos-watermark/1 {purpose}".encode()).digest(length)
