"""Plain tables and sizes for terminals; piped, they stay readable and easy to cut."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

SEPARATOR = "  "


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    """Columns as wide as their content; `empty` when there is no row."""
    if not rows:
        return empty
    lines = [tuple(heads), *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        SEPARATOR.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """One `name  value` line per fact that has a value."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name.ljust(width)}  {printable(value)}" for name, value in pairs if value)


def printable(text: str) -> str:
    """The text without what could steer a terminal: others wrote it."""
    return "".join(char if char.isprintable() else "·" for char in text)


def size(count: int) -> str:
    """A number of bytes for people: `12.3 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def duration(seconds: float) -> str:
    """`1:05` or `2:03:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(when: datetime) -> str:
    """A time in the reader's zone, to the minute."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M")
