"""The document's two plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from reproduction.results import Cell, Line
from reproduction.scaling import Scaled

ALL = "all"
INCHES = (7.0, 4.5)
DPI = 110


def draw_alignments(lines: Sequence[Line], bound: Cell, path: Path) -> None:
    """Image- against text-alignment, an arrow from single to fused for every method."""
    figure = Figure(INCHES, DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot(bound.text.value, bound.image.value, "k*", markersize=12, label="class word")
    for number, line in enumerate(lines):
        colour = f"C{number}"
        one, other = line.single[ALL], line.fused[ALL]
        start, end = (one.text.value, one.image.value), (other.text.value, other.image.value)
        axes.plot(*start, "o", color=colour, label=line.label)
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.6})
        axes.plot(*end, "s", color=colour, markersize=5)
    axes.set_xlabel("text-alignment")
    axes.set_ylabel("image-alignment")
    axes.set_title("From the single concept's model (dot) to the fused one (square)")
    axes.legend()
    figure.savefig(path)


def draw_scaling(found: Mapping[tuple[str, str], Sequence[Scaled]], path: Path) -> None:
    """The share of identity kept against the number of concepts, a line for each way to fuse."""
    figure = Figure((INCHES[0], 6.0), DPI, layout="constrained")
    axes = figure.subplots()
    for number, ((recipe, fusion), line) in enumerate(found.items()):
        axes.plot(
            [scaled.size for scaled in line],
            [max(scaled.kept, -0.2) for scaled in line],
            marker="o",
            markersize=3,
            linestyle=("-", "--", ":")[number // 10 % 3],
            color=f"C{number % 10}",
            label=f"{recipe}, {fusion}",
        )
    axes.set_ylim(-0.25, 1.05)
    axes.set_xlabel("concepts in the fusion")
    axes.set_ylabel("share of identity kept (at least -0.2 shown)")
    axes.legend(fontsize=6, ncols=2)
    figure.savefig(path)
