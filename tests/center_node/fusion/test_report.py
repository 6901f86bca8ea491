"""Residuals, what concepts keep, and collisions of the report."""

from __future__ import annotations

import pytest
from mos_center.fusion.quality import Fit
from mos_center.fusion.report import (
    BlockReport,
    LayerReport,
    collisions,
    concept_residual,
    report_json,
    summarise,
)
from mos_protocol.layer_map import Part


def layer(name: str, part: Part = Part.SPATIAL, **values) -> LayerReport:
    figures = {
        "rank": 4,
        "average": -1.0,
        "result": -3.0,
        "asked": 4.0,
        "norm": 1.0,
        "largest_norm": 1.0,
    }
    return LayerReport(name, part, **{**figures, **values})


def test_a_layer_weighs_by_what_it_was_asked():
    found = summarise([layer("a.one"), layer("a.two", asked=12.0, result=-3.0, norm=2.0)])

    assert found.result == pytest.approx((16 - 6) / 16)
    assert (found.layers, found.growth) == (2, 2.0)


def test_concepts_that_ask_for_nothing_leave_no_error():
    found = summarise([layer("a.x", asked=0.0, average=0.0, result=0.0, largest_norm=0.0)])
    assert (found.result, found.growth) == (0.0, 0.0)


def test_a_concept_s_residual_counts_what_others_do_to_layers_that_it_leaves_alone():
    own = layer("a.x", fits=(Fit(0, asked=4.0, average=2.0, result=1.0),))
    other = layer("a.y", fits=(Fit(0, asked=0.0, average=0.0, result=1.0),))

    assert concept_residual([own, other], 0) == pytest.approx(0.5)
    assert concept_residual([own, other], 0, average=True) == pytest.approx(0.5)


def test_pairs_are_ordered_by_what_they_lose_of_what_both_ask():
    asked = layer("a.x", fits=tuple(Fit(index, 2.0, 1.0, 1.0) for index in range(3)))
    blocks = [
        BlockReport("a", [asked], {(0, 1): 1.0, (1, 2): 0.2}),
        BlockReport("b", [asked], {(0, 1): 1.0, (0, 2): 2.5}),
    ]

    assert collisions(blocks, 3) == [(0, 2, 2.5 / 8), (0, 1, 2.0 / 8), (1, 2, 0.2 / 8)]


def test_blocks_survive_being_written_as_text():
    fits = (Fit(0, 1 / 3, 0.5, 0.25),)
    block = BlockReport("unet.mid_block", [layer("a.x", fits=fits)], {(0, 1): 1 / 3}, {1})

    assert BlockReport.from_text(block.to_text()) == block


def test_the_report_names_concepts_by_their_references():
    block = BlockReport("b", [layer("a.x", fits=(Fit(0, 4.0, 2.0, 1.0),))], {(0, 0): 4.0})

    found = report_json([block], {}, {}, ["ada/potter"], ["mind the gap"])

    assert found["warnings"] == ["mind the gap"]
    assert found["kept"]["ada/potter"]["result"] == pytest.approx(0.75)
    assert found["layers"][0]["concepts"]["ada/potter"]["result"] == pytest.approx(0.25)
