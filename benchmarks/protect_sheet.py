"""What protection looks like: pictures before and after, the difference, and what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont
from protect_once import Bench, Case

SHOWN = 3
SIDE, GAP, MARGIN, HEAD, LABEL = 80, 3, 16, 40, 70
MAGNIFIED = 8
INK, PAPER = (28, 28, 30), "white"
_COLUMNS = (
    "clean", "protected", f"difference, {MAGNIFIED} times",
    "tuned on clean", "tuned on noise", "tuned on protected",
)  # fmt: skip


def draw_sheet(bench: Bench, rows: Sequence[tuple[Case, Case, Case]], path: Path) -> None:
    """A row per concept: its first pictures, and samples of the three tuned models."""
    column = SHOWN * (SIDE + GAP) + MARGIN
    size = (LABEL + MARGIN + len(_COLUMNS) * column, HEAD + len(rows) * (SIDE + GAP) + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for number, title in enumerate(_COLUMNS):
        pen.text((LABEL + MARGIN + number * column, MARGIN), title, INK, font)
    for index, cases in enumerate(rows):
        top = HEAD + index * (SIDE + GAP)
        pen.text((MARGIN, top), cases[0].concept, INK, font)
        for number, pictures in enumerate(_cells(bench, *cases)):
            for place, picture in enumerate(pictures):
                left = LABEL + MARGIN + number * column + place * (SIDE + GAP)
                sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _cells(bench: Bench, clean: Case, noise: Case, protected: Case) -> list[list[Image.Image]]:
    before, after = (_first(_files(bench.pictures(case))) for case in (clean, protected))
    difference = [_magnified(one, other) for one, other in zip(before, after, strict=True)]
    drawn = [_first(bench.samples(case)) for case in (clean, noise, protected)]
    return [before, after, difference, *drawn]


def _magnified(one: Image.Image, other: Image.Image) -> Image.Image:
    """The difference, times `MAGNIFIED`, around mid-grey."""
    # subtract gives (a − b) / scale + offset, cut to 0…255.
    return ImageChops.subtract(other, one, 1 / MAGNIFIED, 127)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def _first(paths: Sequence[Path]) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in paths[:SHOWN]]
