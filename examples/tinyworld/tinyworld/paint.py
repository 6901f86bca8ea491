"""Paints objects on a canvas four times the size of the picture, which is then scaled down."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from tinyworld.geometry import Polygon, Pose, ellipse, rectangle
from tinyworld.marks import Mark
from tinyworld.palette import COLOURS, DARK, Colour, partner, shade
from tinyworld.shapes import SHAPES, Part

SIZE = 64
SCALE = 4
CANVAS = SIZE * SCALE
OUTLINE = 4
PATTERNS = ("plain", "striped", "dotted", "checkered")


@dataclass(frozen=True)
class Fill:
    """A colour name, a pattern, and the pattern's second colour if it is not the usual one."""

    colour: str
    pattern: str = "plain"
    second: str | None = None


@dataclass(frozen=True)
class Design:
    """How an object looks: the main fill, other parts by name, and marks on the body."""

    fill: Fill
    parts: dict[str, Fill] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()


def paint_object(canvas: Image.Image, kind: str, design: Design, pose: Pose) -> Image.Image:
    """Paint one object in place; returns its mask, L, canvas size."""
    silhouette = Image.new("L", canvas.size, 0)
    for part in SHAPES[kind]():
        outline = pose.place(part.points)
        ImageDraw.Draw(silhouette).polygon(outline, fill=255)
        _paint_part(canvas, part, outline, design, pose)
    return silhouette


def _paint_part(
    canvas: Image.Image, part: Part, outline: Polygon, design: Design, pose: Pose
) -> None:
    fill, colour = _fill_of(part, design)
    marks = tuple(m for m in design.marks if m.part == part.name)
    draw = ImageDraw.Draw(canvas)
    if fill.pattern == "plain" and not marks:
        draw.polygon(outline, fill=colour)
    else:
        mask = Image.new("L", canvas.size, 0)
        ImageDraw.Draw(mask).polygon(outline, fill=255)
        sheet = Image.new("RGB", canvas.size, colour)
        second = COLOURS[fill.second] if fill.second else partner(colour)
        for polygon in _pattern(fill.pattern):
            ImageDraw.Draw(sheet).polygon(pose.place(polygon), fill=second)
        for mark in marks:
            for polygon in mark.polygons:
                ImageDraw.Draw(sheet).polygon(pose.place(polygon), fill=COLOURS[mark.colour])
        canvas.paste(sheet, mask=mask)
    draw.line([*outline, outline[0], outline[1]], fill=DARK, width=OUTLINE, joint="curve")


def _fill_of(part: Part, design: Design) -> tuple[Fill, Colour]:
    if part.name in design.parts:
        fill = design.parts[part.name]
        return fill, COLOURS[fill.colour]
    if part.colour is not None:
        return Fill("white"), part.colour
    pattern = design.fill.pattern if part.name in ("body", "head") else "plain"
    fill = Fill(design.fill.colour, pattern, design.fill.second)
    return fill, shade(COLOURS[design.fill.colour], part.shade)


def _pattern(name: str) -> list[Polygon]:
    steps = range(-3, 4)
    if name == "striped":
        return [rectangle(0.56 * i - 0.14, -1.2, 0.56 * i + 0.14, 1.2) for i in steps]
    if name == "dotted":
        grid = [(i, j) for i in steps for j in steps]
        return [
            ellipse(0.56 * i + 0.28 * (j % 2), 0.5 * j, 0.16, 0.16) for i, j in grid if abs(j) < 3
        ]
    if name == "checkered":
        cells = [(i, j) for i in range(-4, 5) for j in range(-4, 5) if (i + j) % 2 == 0]
        return [rectangle(0.36 * i, 0.36 * j, 0.36 * i + 0.36, 0.36 * j + 0.36) for i, j in cells]
    return []
