"""The classes of object: each is a list of parts, drawn in order, in the object's own frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinyworld.geometry import Polygon, ellipse, rectangle, star
from tinyworld.palette import DARK, GLASS, WHITE, WOOD, Colour


@dataclass(frozen=True)
class Part:
    """One polygon; without a `colour` of its own it takes a `shade` of the object's colour."""

    name: str
    points: Polygon
    shade: float = 1.0
    colour: Colour | None = None


def _ball() -> list[Part]:
    return [Part("body", ellipse(0, 0, 1, 1))]


def _cube() -> list[Part]:
    return [
        Part("side", [(0.5, -0.5), (0.95, -0.92), (0.95, 0.5), (0.5, 0.95)], shade=0.6),
        Part("top", [(-0.95, -0.5), (-0.45, -0.92), (0.95, -0.92), (0.5, -0.5)], shade=1.35),
        Part("body", rectangle(-0.95, -0.5, 0.5, 0.95)),
    ]


def _cone() -> list[Part]:
    foot = rectangle(-0.95, 0.7, 0.95, 0.98)
    return [
        Part("body", [(-0.14, -1), (0.14, -1), (0.68, 0.72), (-0.68, 0.72)]),
        Part("foot", foot, shade=0.6),
    ]


def _star() -> list[Part]:
    return [Part("body", star(0, 0.06, 1.08, 0.5))]


def _mug() -> list[Part]:
    handle = ellipse(0.5, 0.05, 0.5, 0.52, -90, 90) + ellipse(0.5, 0.05, 0.24, 0.27, 90, -90)
    body = [(-0.85, -0.72), *ellipse(-0.1, 0.72, 0.68, 0.22, 180, 0), (0.6, -0.72)]
    return [
        Part("handle", handle, shade=0.6),
        Part("body", body),
        Part("rim", ellipse(-0.125, -0.72, 0.73, 0.2), shade=0.45),
    ]


def _house() -> list[Part]:
    return [
        Part("body", rectangle(-0.75, -0.2, 0.75, 0.97)),
        Part("roof", [(-1, -0.15), (0, -0.98), (1, -0.15)], shade=0.6),
        Part("door", rectangle(-0.5, 0.3, -0.08, 0.97), colour=WOOD),
        Part("window", rectangle(0.15, 0.15, 0.55, 0.52), colour=GLASS),
    ]


def _fish() -> list[Part]:
    return [
        Part("tail", [(0.5, 0), (1.05, -0.6), (0.92, 0), (1.05, 0.6)], shade=0.6),
        Part("fin", [(-0.35, -0.45), (0.15, -0.95), (0.4, -0.35)], shade=0.6),
        Part("body", ellipse(-0.22, 0, 0.82, 0.62)),
        Part("eye", ellipse(-0.68, -0.14, 0.15, 0.15), colour=WHITE),
        Part("pupil", ellipse(-0.71, -0.14, 0.07, 0.07), colour=DARK),
    ]


def _tree() -> list[Part]:
    crown = (
        ellipse(-0.48, 0.0, 0.5, 0.46, 80, 235)
        + ellipse(0, -0.5, 0.58, 0.5, 190, 350)
        + ellipse(0.48, 0.0, 0.5, 0.46, -55, 100)
    )
    return [
        Part("trunk", rectangle(-0.17, 0.3, 0.17, 1), colour=WOOD),
        Part("body", crown),
    ]


def _cat() -> list[Part]:
    tail = ellipse(0.45, 0.45, 0.52, 0.5, -60, 90) + ellipse(0.45, 0.45, 0.3, 0.3, 90, -60)
    return [
        Part("tail", tail, shade=0.6),
        Part("body", ellipse(-0.05, 0.5, 0.56, 0.5)),
        Part("ears", [(-0.68, -0.32), (-0.62, -1), (-0.05, -0.6), (0.52, -1), (0.58, -0.32)], 0.6),
        Part("head", ellipse(-0.05, -0.28, 0.64, 0.48)),
        Part("eye", ellipse(-0.3, -0.34, 0.1, 0.14), colour=DARK),
        Part("eye", ellipse(0.2, -0.34, 0.1, 0.14), colour=DARK),
        Part("nose", [(-0.15, -0.12), (0.05, -0.12), (-0.05, 0.0)], colour=DARK),
    ]


def _car() -> list[Part]:
    body = [(-1, 0), (-0.6, -0.1), (0.75, -0.1), (1, 0.1), (1, 0.5), (-1, 0.5)]
    return [
        Part("cabin", [(-0.62, -0.08), (-0.32, -0.62), (0.42, -0.62), (0.7, -0.08)], shade=0.6),
        Part("window", [(-0.4, -0.1), (-0.2, -0.48), (0.32, -0.48), (0.46, -0.1)], colour=GLASS),
        Part("body", body),
        Part("wheel", ellipse(-0.55, 0.5, 0.27, 0.27), colour=DARK),
        Part("wheel", ellipse(0.55, 0.5, 0.27, 0.27), colour=DARK),
    ]


SHAPES: dict[str, Callable[[], list[Part]]] = {
    "ball": _ball,
    "cube": _cube,
    "cone": _cone,
    "star": _star,
    "mug": _mug,
    "house": _house,
    "fish": _fish,
    "tree": _tree,
    "cat": _cat,
    "car": _car,
}
