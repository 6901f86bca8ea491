"""Points in an object's own frame ([-1, 1] both ways, y down) and where they land on the canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass

Point = tuple[float, float]
Polygon = list[Point]


@dataclass(frozen=True)
class Pose:
    """Where an object stands: centre and half-size in canvas pixels, tilt in degrees."""

    x: float
    y: float
    size: float
    tilt: float = 0.0
    mirrored: bool = False

    def place(self, points: Polygon) -> Polygon:
        """Object frame to canvas pixels."""
        cos, sin = math.cos(math.radians(self.tilt)), math.sin(math.radians(self.tilt))
        side = -self.size if self.mirrored else self.size
        return [
            (
                self.x + side * px * cos - self.size * py * sin,
                self.y + side * px * sin + self.size * py * cos,
            )
            for px, py in points
        ]


def ellipse(
    x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360
) -> Polygon:
    """Points along an ellipse, degrees clockwise from the right."""
    count = max(8, round((end - start) / 9))
    angles = [math.radians(start + (end - start) * i / count) for i in range(count + 1)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """An axis-parallel rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def star(x: float, y: float, outer: float, inner: float, points: int = 5) -> Polygon:
    """A star with one point up."""
    return [
        (
            x + (outer if i % 2 == 0 else inner) * math.sin(math.pi * i / points),
            y - (outer if i % 2 == 0 else inner) * math.cos(math.pi * i / points),
        )
        for i in range(2 * points)
    ]


def ribbon(path: Polygon, width: float) -> Polygon:
    """A band of the given height along a path that runs left to right."""
    half = width / 2
    return [(x, y - half) for x, y in path] + [(x, y + half) for x, y in reversed(path)]
