"""A series of numbers as a line in an SVG: where its points lie, and what its axis says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 150


@dataclass(frozen=True)
class Curve:
    """A line in a box of `WIDTH` × `HEIGHT`; `low` and `high` are the values at its edges.

    `points` are the values, `trend` their running means: losses jump from batch to batch.
    """

    points: str
    trend: str
    low: float
    high: float
    first: float
    last: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Curve | None:
        """The line through the values from left to right; None for fewer than two."""
        if len(values) < 2:
            return None
        low, high = min(values), max(values)
        trend = _running_means(values)

        def line(heights: Sequence[float]) -> str:
            scale, step = (high - low) or 1.0, WIDTH / (len(values) - 1)
            return " ".join(
                f"{index * step:.1f},{HEIGHT * (high - value) / scale:.1f}"
                for index, value in enumerate(heights)
            )

        return cls(line(values), line(trend), low, high, trend[0], trend[-1])


def _running_means(values: Sequence[float]) -> list[float]:
    """The mean of each value's neighbourhood, a tenth of the series wide."""
    reach = len(values) // 20
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]
