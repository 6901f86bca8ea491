"""Pictures as unlike each other as can be drawn without a data set, for a watermark to be in.

The same kind, number and size give the same picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.cbook import get_sample_data
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tinyworld.scene import draw_scene

Rng = np.random.Generator
Size = tuple[int, int]
"""Width and height."""

_TEXT = "The quick brown fox jumps over the lazy dog while seven wizards box. "


def varied_picture(
    number: int, size: Size = (512, 512), photographs: Path | None = None
) -> Image.Image:
    """The picture with this number; kinds take turns. `photographs` adds a folder of your own."""
    kinds = list(KINDS.values())
    rng = np.random.default_rng(number)
    own = sorted(photographs.iterdir()) if photographs else []
    turn = number % (len(kinds) + bool(own))
    if turn == len(kinds):
        return _crop(Image.open(own[int(rng.integers(len(own)))]), rng, size)
    return kinds[turn](rng, size)


def kind_of(number: int) -> str:
    """The kind of the picture with this number, without photographs of your own."""
    return list(KINDS)[number % len(KINDS)]


def tinyworld(rng: Rng, size: Size) -> Image.Image:
    """A scene of tinyworld enlarged, with grain."""
    scene = draw_scene(int(rng.integers(1 << 20))).image
    large = np.asarray(scene.resize(size, Image.Resampling.BICUBIC), np.float32)
    return _picture(large + rng.normal(0, rng.uniform(0, 6), large.shape))


def cloud(rng: Rng, size: Size) -> Image.Image:
    """Noise whose amplitude falls with frequency, from rough to misty, as photographs' does."""
    power = rng.uniform(0.7, 2.2)
    planes = [_field(rng, size, power) for _ in range(3)]
    mix = rng.uniform(0, 1, (3, 3)) + np.eye(3)
    return _picture(rng.uniform(60, 190) + rng.uniform(15, 60) * np.stack(planes, -1) @ mix / 1.5)


def leaves(rng: Rng, size: Size) -> Image.Image:
    """Discs that cover each other, of all sizes: edges and surfaces as in photographs."""
    picture = Image.new("RGB", size, _colour(rng))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(60, 1200))):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        radius = 6 / rng.uniform(0.04, 1)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(rng))
    shade = 1 + 0.15 * _field(rng, size, 1.5)[..., None]
    return _picture(np.asarray(picture, np.float32) * shade)


def gradient(rng: Rng, size: Size) -> Image.Image:
    """One colour that becomes another, without any grain."""
    x, y = _grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = ((np.cos(angle) * x + np.sin(angle) * y) / 2 + 0.5)[..., None]
    return _picture(ramp * np.array(_colour(rng)) + (1 - ramp) * np.array(_colour(rng)))


def flat(rng: Rng, size: Size) -> Image.Image:
    """One colour everywhere; every fourth is black or white."""
    extreme = rng.integers(8)
    colour = ((0, 0, 0), (255, 255, 255))[extreme] if extreme < 2 else _colour(rng)
    return Image.new("RGB", size, colour)


def page(rng: Rng, size: Size) -> Image.Image:
    """Lines of text, dark on light or light on dark."""
    picture = Image.new("L", size, 250)
    draw = ImageDraw.Draw(picture)
    height = int(rng.integers(10, 34))
    font = ImageFont.load_default(height)
    for line in range(size[1] // (height + 6) + 1):
        start = int(rng.integers(len(_TEXT)))
        draw.text((8, line * (height + 6)), (_TEXT[start:] + _TEXT * 3)[:160], 15, font)
    return (ImageOps.invert(picture) if rng.random() < 0.3 else picture).convert("RGB")


def weave(rng: Rng, size: Size) -> Image.Image:
    """Stripes and checks of one frequency, which stand out of the spectrum."""
    x, y = _grid(size)
    wave = np.sin(np.pi * rng.uniform(3, 90) * x + rng.uniform(0, 6))
    other = np.sin(np.pi * rng.uniform(3, 90) * y + rng.uniform(0, 6))
    woven = np.sign(wave * other) if rng.random() < 0.5 else wave + other * rng.uniform(0, 1)
    colour = np.array(_colour(rng)) - 128
    return _picture(128 + rng.uniform(0.2, 0.9) * woven[..., None] * colour)


def grain(rng: Rng, size: Size) -> Image.Image:
    """Strong noise, as in sand or grass."""
    plain = rng.normal(0, rng.uniform(15, 70), (size[1], size[0], 1))
    return _picture(128 + plain + 20 * _field(rng, size, 1.2)[..., None])


def night(rng: Rng, size: Size) -> Image.Image:
    """Almost black with some lights, or, every third, the same in white."""
    x, y = _grid(size)
    level = np.full((size[1], size[0]), rng.uniform(0, 12))
    for _ in range(int(rng.integers(1, 12))):
        near = (x - rng.uniform(-1, 1)) ** 2 + (y - rng.uniform(-1, 1)) ** 2
        level += rng.uniform(20, 250) * np.exp(-near / rng.uniform(0.0005, 0.05))
    dark = _picture(level[..., None] * rng.uniform(0.4, 1, 3))
    return ImageOps.invert(dark) if rng.random() < 1 / 3 else dark


def portrait(rng: Rng, size: Size) -> Image.Image:
    """A part of the photograph that matplotlib brings."""
    with get_sample_data("grace_hopper.jpg") as file:
        return _crop(Image.open(file), rng, size)


KINDS: Mapping[str, Callable[[Rng, Size], Image.Image]] = {
    kind.__name__: kind
    for kind in (tinyworld, cloud, leaves, gradient, flat, page, weave, grain, night, portrait)
}


def _crop(picture: Image.Image, rng: Rng, size: Size) -> Image.Image:
    """A random part of at least half the sides, mirrored half of the time, in other light."""
    rgb = picture.convert("RGB")
    share = rng.uniform(0.5, 1)
    width, height = rgb.width * share, rgb.height * share
    left, top = rng.uniform(0, rgb.width - width), rng.uniform(0, rgb.height - height)
    part = rgb.resize(size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))
    lit = 255 * (np.asarray(part, np.float32) / 255) ** rng.uniform(0.6, 1.6)
    return _picture(lit[:, ::-1] if rng.random() < 0.5 else lit)


def _field(rng: Rng, size: Size, power: float) -> NDArray[np.float32]:
    """Noise (h, w) with amplitude f^-power, of mean 0 and variance 1."""
    spectrum = np.fft.rfft2(rng.normal(size=(size[1], size[0])))
    down = np.fft.fftfreq(size[1])[:, None] * size[1]
    across = np.fft.rfftfreq(size[0])[None] * size[0]
    spectrum /= np.maximum(np.hypot(down, across), 1) ** power
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (size[1], size[0]))
    return (field / field.std()).astype(np.float32)


def _grid(size: Size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x (1, w) and y (h, 1) from -1 to 1."""
    return np.linspace(-1, 1, size[0])[None], np.linspace(-1, 1, size[1])[:, None]


def _colour(rng: Rng) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _picture(values: NDArray[np.floating]) -> Image.Image:
    height, width = values.shape[:2]
    whole = np.broadcast_to(np.clip(np.rint(values), 0, 255), (height, width, 3))
    return Image.fromarray(whole.astype(np.uint8))
