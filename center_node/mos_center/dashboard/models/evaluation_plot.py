"""Identity against text-alignment: an arrow per concept, from its own model to the version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 14, 40
_TICKS = 4
# All alike, figures still need a scale; 1 is the whole range that a cosine has here.
_LEAST_SPAN = 0.02


@dataclass(frozen=True)
class Arrow:
    """A concept's own model and the version, in the drawing's units."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the drawing's units, and what it means."""

    at: float
    label: str


@dataclass(frozen=True)
class Plot:
    """The drawing; the axes' corner is at (`left`, `bottom`)."""

    arrows: tuple[Arrow, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class _Axis:
    """Values from `low` to `high` between two places of the drawing."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        """An axis with a little room beyond the values."""
        low, high = min(values), max(values)
        room = max(0.08 * (high - low), (_LEAST_SPAN - (high - low)) / 2, 0.0)
        return cls(low - room, high + room, start, end)

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> tuple[Tick, ...]:
        step = (self.high - self.low) / _TICKS
        values = [self.low + number * step for number in range(_TICKS + 1)]
        return tuple(Tick(self.place(value), f"{value:.3f}") for value in values)


def plot_of(
    concepts: Sequence[tuple[str, Mapping[str, float], Mapping[str, float]]],
) -> Plot | None:
    """Draw (name, text, identity) of each concept; None without any."""
    if not concepts:
        return None
    models = ("own", "fused")
    across = _Axis.over(
        [text[model] for _, text, _ in concepts for model in models], _LEFT, WIDTH - _RIGHT
    )
    up = _Axis.over(
        [identity[model] for *_, identity in concepts for model in models], HEIGHT - _BOTTOM, _TOP
    )
    return Plot(
        arrows=tuple(
            Arrow(
                name,
                across.place(text["own"]),
                up.place(identity["own"]),
                across.place(text["fused"]),
                up.place(identity["fused"]),
            )
            for name, text, identity in concepts
        ),
        across=across.ticks(),
        up=up.ticks(),
    )
