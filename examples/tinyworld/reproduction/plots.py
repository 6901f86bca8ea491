"""The document's two plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from reproduction.results import Cell, Line
from reproduction.scaling import Scaled

ALL = "all"
INCHES = (7.0, 4.5)
PANELS_INCHES = (9.0, 9.0)
DPI = 110
Case = tuple[str, str]
"""The names of a recipe and of a way to fuse."""
SHOWN = ("default", "average", "sum-0.6", "no-prior", "lbfgs", "paper-lbfgs", "templates")
PANELS: tuple[tuple[str, Callable[[Scaled], float]], ...] = (
    ("share of identity kept (at least -0.2 shown)", lambda found: max(found.kept, -0.2)),
    ("image-alignment", lambda found: found.image),
    ("text-alignment", lambda found: found.text),
    ("loss on generic captions (at most 0.06 shown)", lambda found: min(found.generic, 0.06)),
)


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


def draw_scaling(found: Mapping[Case, Sequence[Scaled]], path: Path) -> None:
    """What is kept and drawn against the number of concepts: `SHOWN` in colour, the rest grey."""
    figure = Figure(PANELS_INCHES, DPI, layout="constrained")
    panels = figure.subplots(2, 2).flatten()
    shown = [case for case in found if case[1] in SHOWN or case[0] != next(iter(found))[0]]
    for case, line in found.items():
        style: dict[str, Any] = {"color": "0.85", "linewidth": 0.8, "zorder": 1}
        if case in shown:
            number = shown.index(case)
            dash = ("-", "--")[number // 10 % 2]
            style = {"color": f"C{number % 10}", "marker": "o", "markersize": 3, "linestyle": dash}
            style["label"] = f"{case[0]}, {case[1]}"
        sizes = [scaled.size for scaled in line]
        for axes, (_, measure) in zip(panels, PANELS, strict=True):
            axes.plot(sizes, [measure(scaled) for scaled in line], **style)
    for axes, (title, _) in zip(panels, PANELS, strict=True):
        axes.set_title(title)
        axes.set_xlabel("concepts in the fusion")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path)
