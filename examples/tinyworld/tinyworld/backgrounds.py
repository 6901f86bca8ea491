"""The places of the world: quiet two-tone backgrounds with a few details."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from tinyworld.palette import Colour

Painter = Callable[[Image.Image, random.Random], None]

PHRASES: dict[str, str] = {
    "grass": "on the",
    "snow": "on the",
    "sand": "on the",
    "night": "in the",
    "sea": "in the",
    "brick": "by the",
    "sky": "in the",
}


def jitter(rng: random.Random, colour: Colour, amount: int = 7) -> Colour:
    """The colour, a little lighter or darker."""
    step = rng.randint(-amount, amount)
    r, g, b = (max(0, min(255, c + step)) for c in colour)
    return r, g, b


def horizon(image: Image.Image, rng: random.Random, above: Colour, below: Colour) -> int:
    """Paint two halves; returns the row where they meet."""
    size = image.width
    row = int(size * rng.uniform(0.5, 0.64))
    image.paste(jitter(rng, above), (0, 0, size, size))
    image.paste(jitter(rng, below), (0, row, size, size))
    return row


def _grass(image: Image.Image, rng: random.Random) -> None:
    row = horizon(image, rng, (182, 222, 246), (126, 190, 96))
    draw = ImageDraw.Draw(image)
    for _ in range(7):
        x, y = rng.uniform(0, image.width), rng.uniform(row + 16, image.width)
        draw.polygon([(x - 5, y), (x, y - 14), (x + 5, y)], fill=(98, 166, 76))


def _snow(image: Image.Image, rng: random.Random) -> None:
    row = horizon(image, rng, (176, 192, 214), (240, 244, 250))
    x = rng.uniform(0.1, 0.9) * image.width
    ImageDraw.Draw(image).ellipse((x - 130, row - 30, x + 130, row + 60), fill=(240, 244, 250))


def _sand(image: Image.Image, rng: random.Random) -> None:
    row = horizon(image, rng, (252, 226, 196), (226, 188, 122))
    x = rng.uniform(0.1, 0.9) * image.width
    ImageDraw.Draw(image).ellipse((x - 120, row + 24, x + 120, row + 96), fill=(212, 172, 106))


def _night(image: Image.Image, rng: random.Random) -> None:
    row = horizon(image, rng, (34, 38, 84), (20, 22, 50))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = rng.uniform(8, image.width - 8), rng.uniform(8, row - 12)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(240, 236, 190))
    x = rng.choice((34, image.width - 34))
    draw.ellipse((x - 18, 16, x + 18, 52), fill=(246, 240, 200))


def _sea(image: Image.Image, rng: random.Random) -> None:
    row = horizon(image, rng, (208, 236, 250), (48, 128, 188))
    draw = ImageDraw.Draw(image)
    for y in range(row + 22, image.width, 30):
        shift = rng.uniform(0, 40)
        wave = [(x, y + 4 * math.sin((x + shift) / 10)) for x in range(0, image.width + 8, 8)]
        draw.line(wave, fill=(92, 164, 212), width=5)


def _brick(image: Image.Image, rng: random.Random) -> None:
    size = image.width
    image.paste(jitter(rng, (186, 112, 92)), (0, 0, size, size))
    draw = ImageDraw.Draw(image)
    top = rng.randint(0, 31)
    for i, y in enumerate(range(top - 32, size, 32)):
        draw.line((0, y, size, y), fill=(204, 140, 120), width=5)
        for x in range(32 * (i % 2), size + 1, 64):
            draw.line((x, y, x, y + 32), fill=(204, 140, 120), width=5)


def _sky(image: Image.Image, rng: random.Random) -> None:
    size = image.width
    image.paste(jitter(rng, (128, 190, 242)), (0, 0, size, size))
    draw = ImageDraw.Draw(image)
    for side in (0.2, 0.8):
        x = size * (side + rng.uniform(-0.12, 0.12))
        y = size * rng.choice((rng.uniform(0.1, 0.25), rng.uniform(0.75, 0.9)))
        for dx, r in ((-26, 15), (0, 22), (26, 15)):
            draw.ellipse((x + dx - r, y - r, x + dx + r, y + r * 0.8), fill=(242, 248, 253))


BACKGROUNDS: dict[str, Painter] = {
    "grass": _grass,
    "snow": _snow,
    "sand": _sand,
    "night": _night,
    "sea": _sea,
    "brick": _brick,
    "sky": _sky,
}
