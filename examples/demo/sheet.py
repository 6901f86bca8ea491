"""The contact sheet: rows are concepts, columns are models, same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PICTURE = 96
GAP = 4
MARGIN = 24
LABEL = 150
HEAD = 44
INK, GREY, PAPER = (28, 28, 30), (110, 110, 115), (255, 255, 255)


def draw_sheet(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str], Sequence[Sequence[Image.Image]]]],
    footer: tuple[str, Sequence[Image.Image]],
    path: Path,
) -> None:
    """Write the sheet. A row is (title, lines of small print, one list of pictures per column)."""
    per_column = max(len(pictures) for _, _, cells in rows for pictures in cells)
    width_of_column = per_column * (PICTURE + GAP) + MARGIN
    width = 2 * MARGIN + LABEL + len(columns) * width_of_column
    height = HEAD + len(rows) * (PICTURE + 3 * GAP) + 2 * MARGIN + PICTURE + 4 * GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, title in enumerate(columns):
        pen.text((MARGIN + LABEL + i * width_of_column, MARGIN - 4), title, INK, _font(15))
    y = HEAD + GAP
    for title, small, cells in rows:
        _label(pen, (MARGIN, y), title, small)
        for i, pictures in enumerate(cells):
            _paste(sheet, pictures, MARGIN + LABEL + i * width_of_column, y)
        y += PICTURE + 3 * GAP
    title, pictures = footer
    y += MARGIN // 2
    pen.line((MARGIN, y - MARGIN // 2, width - MARGIN, y - MARGIN // 2), (225, 225, 228))
    _label(pen, (MARGIN, y), "two at once", _wrapped(title, 22))
    _paste(sheet, pictures, MARGIN + LABEL, y)
    sheet.save(path)


def _paste(sheet: Image.Image, pictures: Sequence[Image.Image], x: int, y: int) -> None:
    for j, picture in enumerate(pictures):
        scaled = picture.resize((PICTURE, PICTURE), Image.Resampling.BICUBIC)
        sheet.paste(scaled, (x + j * (PICTURE + GAP), y))


def _label(pen: ImageDraw.ImageDraw, at: tuple[int, int], title: str, small: Sequence[str]) -> None:
    x, y = at
    pen.text((x, y), title, INK, _font(15))
    for i, line in enumerate(small):
        pen.text((x, y + 22 + 15 * i), line, GREY, _font(11))


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
