"""Marks that a design puts on a part: bands, zigzags, eyes, rings."""

from __future__ import annotations

from dataclasses import dataclass

from tinyworld.geometry import Polygon, ellipse, rectangle, ribbon, star


@dataclass(frozen=True)
class Mark:
    """Polygons of one colour, clipped to the part they are on."""

    colour: str
    polygons: tuple[Polygon, ...]
    part: str = "body"


def band(colour: str, top: float, bottom: float, part: str = "body") -> Mark:
    """A level band."""
    return Mark(colour, (rectangle(-1.2, top, 1.2, bottom),), part)


def post(colour: str, left: float, right: float, part: str = "body") -> Mark:
    """An upright band."""
    return Mark(colour, (rectangle(left, -1.2, right, 1.2),), part)


def slash(colour: str, x: float, width: float, part: str = "body") -> Mark:
    """A slanted band through (x, 0)."""
    half = width / 2
    corners = [(x - 0.9 - half, 1.2), (x - 0.9 + half, 1.2)]
    return Mark(colour, ([*corners, (x + 0.9 + half, -1.2), (x + 0.9 - half, -1.2)],), part)


def zigzag(colour: str, y: float, height: float = 0.3, width: float = 0.24) -> Mark:
    """A zigzag around height y of the body."""
    path = [(-1.25 + 0.3125 * i, y + (height / 2 if i % 2 else -height / 2)) for i in range(9)]
    return Mark(colour, (ribbon(path, width),))


def spot(colour: str, x: float, y: float, radius: float, part: str = "body") -> Mark:
    """A disc."""
    return Mark(colour, (ellipse(x, y, radius, radius),), part)


def badge(colour: str, x: float, y: float, radius: float, part: str = "body") -> Mark:
    """A five-pointed star."""
    return Mark(colour, (star(x, y, radius, radius * 0.45),), part)


def cross(colour: str, x: float, y: float, reach: float, part: str = "body") -> Mark:
    """A plus sign."""
    thin = reach * 0.36
    bars = (
        rectangle(x - reach, y - thin, x + reach, y + thin),
        rectangle(x - thin, y - reach, x + thin, y + reach),
    )
    return Mark(colour, bars, part)


def eyes(colour: str, x: float, y: float, gap: float, radius: float, part: str = "body") -> Mark:
    """Two discs side by side."""
    discs = (ellipse(x - gap, y, radius, radius), ellipse(x + gap, y, radius, radius))
    return Mark(colour, discs, part)


def smile(colour: str, x: float, y: float, radius: float, part: str = "body") -> Mark:
    """A filled half-moon mouth."""
    return Mark(colour, (ellipse(x, y, radius, radius, 0, 180),), part)
