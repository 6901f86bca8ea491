"""Where the arrows of an evaluation's drawing go."""

from __future__ import annotations

import pytest
from mos_center.dashboard.models.evaluation_plot import plot_of


def concept(name: str, own: tuple[float, float], fused: tuple[float, float]):
    """Name, text and identity; pairs are (text, identity)."""
    text = {"own": own[0], "fused": fused[0]}
    return name, text, {"own": own[1], "fused": fused[1]}


def test_an_arrow_goes_from_the_own_model_to_the_version():
    plot = plot_of([concept("a", (0.6, 0.9), (0.7, 0.8)), concept("b", (0.6, 0.7), (0.6, 0.7))])

    first, second = plot.arrows
    # More text is further right, less identity further down.
    assert first.x2 > first.x1
    assert first.y2 > first.y1
    assert (second.x1, second.y1) == (second.x2, second.y2)
    assert second.x1 == first.x1
    for arrow in plot.arrows:
        assert plot.left <= min(arrow.x1, arrow.x2) <= max(arrow.x1, arrow.x2) <= plot.right
        assert plot.top <= min(arrow.y1, arrow.y2) <= max(arrow.y1, arrow.y2) <= plot.bottom


def test_the_axes_say_where_values_lie():
    plot = plot_of([concept("a", (0.6, 0.9), (0.7, 0.8))])
    (arrow,) = plot.arrows

    at = {tick.label: tick.at for tick in plot.across}
    low, high = min(at), max(at)
    share = (arrow.x1 - at[low]) / (at[high] - at[low])
    assert float(low) + share * (float(high) - float(low)) == pytest.approx(0.6, abs=2e-3)


def test_figures_that_are_all_alike_still_have_a_scale():
    plot = plot_of([concept("a", (0.6, 0.9), (0.6, 0.9))])

    labels = [tick.label for tick in plot.up]
    assert len(set(labels)) == len(labels)


def test_without_a_concept_nothing_is_drawn():
    assert plot_of([]) is None
