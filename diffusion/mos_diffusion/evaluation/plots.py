"""The picture of an evaluation: image-alignment against text-alignment, single → fused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mos_diffusion.evaluation.evaluating import SINGLE, ConceptResult
from mos_diffusion.evaluation.scores import Scores

_MARKERS = "sD^vP*X"
_MANY = 10


def draw_alignment(results: Sequence[ConceptResult], path: Path, measure: str = "image") -> bool:
    """Write a PNG with a point per concept and model; False when nothing was measured so.

    Hollow circles are the bounds, full ones the concepts' own models, other signs fused models.
    """
    shown = [item for item in results if any(measure in s.values for s in item.models.values())]
    if not shown:
        return False
    figure = Figure(figsize=(7.5, 5.5), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = colormaps["tab10" if len(shown) <= _MANY else "tab20"]
    labels = list(dict.fromkeys(label for item in shown for label in item.models))
    markers = dict(zip([x for x in labels if x != SINGLE], _MARKERS * len(labels), strict=False))
    for number, item in enumerate(shown):
        _draw_concept(axes, item, measure, colours(number % colours.N), markers)
    _explain(axes, shown, markers, measure)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a version, the same result gives the same bytes.
    figure.savefig(path, format="png", metadata={"Software": None})
    return True


def _draw_concept(
    axes: Any, item: ConceptResult, measure: str, colour: Any, markers: dict[str, str]
) -> None:
    if item.bounds is not None and measure in item.bounds.values:
        axes.plot(*_point(item.bounds, measure), "o", mfc="none", color=colour)
    single = item.models.get(SINGLE)
    for label, scores in item.models.items():
        if measure not in scores.values:
            continue
        axes.plot(*_point(scores, measure), markers.get(label, "o"), color=colour)
        if label != SINGLE and single is not None:
            axes.annotate(
                "",
                xytext=_point(single, measure),
                xy=_point(scores, measure),
                arrowprops={"arrowstyle": "->", "color": colour, "lw": 1},
            )
    first = next(iter(item.models.values()))
    axes.annotate(
        item.case.name, _point(first, measure), xytext=(4, 4), textcoords="offset points", size=7
    )


def _explain(
    axes: Any, shown: Sequence[ConceptResult], markers: dict[str, str], measure: str
) -> None:
    """Axes and a legend of the signs, in grey: colours tell the concepts."""
    if any(item.bounds is not None for item in shown):
        axes.plot([], [], "o", mfc="none", color="grey", label="class word, base")
    if any(SINGLE in item.models for item in shown):
        axes.plot([], [], "o", color="grey", label="own model")
    for label, marker in markers.items():
        axes.plot([], [], marker, color="grey", label=label)
    axes.set_xlabel("text-alignment")
    axes.set_ylabel(f"{measure}-alignment")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _point(scores: Scores, measure: str) -> tuple[float, float]:
    return scores.mean("text"), scores.mean(measure)
