"""The report's residuals and warnings."""

from __future__ import annotations

import pytest
from mos_center.fusion.report import (
    LayerReport,
    from_text,
    report_json,
    summarise,
    to_text,
    warnings,
)
from mos_protocol.layer_map import Part


def layer(name: str, part: Part, **values) -> LayerReport:
    figures = {
        "rank": 4,
        "average": -1.0,
        "result": -3.0,
        "asked": 4.0,
        "norm": 1.0,
        "largest_norm": 1.0,
    }
    return LayerReport(name, part, **{**figures, **values})


def test_a_part_weighs_its_layers_by_what_they_were_asked():
    layers = [
        layer("a.one", Part.SPATIAL),
        layer("a.two", Part.SPATIAL, asked=12.0, result=-3.0, norm=2.0),
        layer("a.key", Part.CROSS_KV),
    ]

    cross, spatial = summarise(layers)

    assert (cross.part, cross.layers, cross.result) == (Part.CROSS_KV, 1, 0.25)
    assert spatial.result == pytest.approx((16 - 6) / 16)
    assert spatial.growth == 2.0


def test_a_delta_thirty_times_larger_than_any_concept_is_warned_of():
    calm, wild = (layer("a.x", Part.CROSS_KV, norm=norm) for norm in (29.0, 31.0))

    assert warnings([calm]) == []
    (text,) = warnings([wild])
    assert "a.x" in text
    assert "ridge.cross_kv" in text
    assert report_json([wild], {}, {})["layers"][0]["warning"] is True


def test_concepts_that_ask_for_nothing_leave_no_error():
    (part,) = summarise([layer("a.x", Part.SPATIAL, asked=0.0, result=0.0, largest_norm=0.0)])
    assert (part.result, part.growth) == (0.0, 0.0)


def test_layers_survive_being_written_as_text():
    layers = [layer("a.x", Part.SPATIAL, result=-1 / 3), layer("a.y", Part.TEXT_ENCODER)]
    assert from_text(to_text(layers)) == layers
