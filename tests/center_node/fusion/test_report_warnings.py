"""What is said of concepts that keep little, and of layers that went too far."""

from __future__ import annotations

from mos_center.fusion.quality import Fit
from mos_center.fusion.report import LayerReport
from mos_center.fusion.report_warnings import HELD_GROWTH, warnings
from mos_center.fusion.settings import Solver
from mos_protocol.layer_map import Part

RIDGE = dict.fromkeys(Part, 1e-3)


def layer(name: str, part: Part = Part.CROSS_KV, norm: float = 1.0, **values) -> LayerReport:
    return LayerReport(name, part, 4, -1.0, -3.0, 4.0, norm, 1.0, **values)


def test_a_concept_that_keeps_little_is_warned_of():
    kept = [layer("a.x", fits=(Fit(0, 4.0, 3.0, 1.0), Fit(1, 4.0, 3.0, 2.8)))]

    (text,) = warnings(kept, ["ada/calm", "ada/lost"], RIDGE)

    assert "ada/lost keeps 30%" in text


def test_a_ridge_that_had_to_be_raised_is_told_with_its_part():
    calm, raised = (layer("a.x", Part.CROSS_KV, relative_ridge=value) for value in (1e-3, 1e-1))

    assert warnings([calm], ["a/b"], RIDGE) == []
    (text,) = warnings([raised], ["a/b"], RIDGE)
    assert "a.x" in text
    assert "ridge.cross_kv" in text


def test_whoever_loses_a_change_without_fusion_is_told_apart_from_who_has_none():
    fits = (Fit(0, 4.0, 3.0, 4.0), Fit(1, 0.0, 0.0, 0.0))

    (text,) = warnings([layer("a.x", fits=fits)], ["ada/mug", "ada/word"], RIDGE, Solver.NONE)

    assert "ada/mug loses what it changes" in text


def test_rows_that_took_too_much_to_be_held_are_told():
    layers = [layer("a.x", norm=HELD_GROWTH + 1), layer("a.y", norm=500), layer("a.z")]

    (text,) = warnings(layers, ["a/b"], RIDGE, Solver.CUSTOM_DIFFUSION)

    assert "of 2 layers" in text
    assert "most in a.y (500)" in text
    assert warnings(layers, ["a/b"], RIDGE, Solver.SUM) == []
