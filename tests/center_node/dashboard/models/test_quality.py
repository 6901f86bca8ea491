from __future__ import annotations

from mos_center.dashboard.models.quality import MOST_CONCEPTS, layers_view, quality_view
from mos_center.domain.quality import read_layers, read_quality
from reports import small_report

BLOCK = "unet.mid_block"


def shares(count: int) -> dict[str, float]:
    return {f"ada/c{number:03d}@1": 1 - number / 1000 for number in range(count)}


def test_a_heat_map_has_a_row_for_each_concept_and_a_column_for_each_block() -> None:
    view = quality_view(read_quality(small_report({"ada/cat@1": 0.5, "ada/hat@1": 0.75})))

    assert view.columns == ["text_encoder", "mid_block"]
    assert view.rows == [("ada/cat@1", [0.5, 0.5]), ("ada/hat@1", [0.75, 0.75])]


def test_a_concept_that_a_block_does_not_know_has_no_share_there() -> None:
    report = small_report({"ada/cat@1": 0.5})
    report["blocks"][0]["kept"] = {}

    assert quality_view(read_quality(report)).rows == [("ada/cat@1", [None, 0.5])]


def test_only_those_that_keep_least_are_shown() -> None:
    view = quality_view(read_quality(small_report(shares(MOST_CONCEPTS + 5))))

    assert (len(view.kept), view.hidden) == (MOST_CONCEPTS, 5)
    assert view.kept[0].ref == "ada/c005@1"


def test_layers_come_in_parts_that_stay_small() -> None:
    report = small_report(shares(MOST_CONCEPTS + 5))
    quality, layers = read_quality(report), read_layers(report, BLOCK) * 50

    first = layers_view(quality, BLOCK, layers, 0)
    last = layers_view(quality, BLOCK, layers, 80)

    assert (len(first.layers), first.next_layer) == (40, 40)
    assert (len(last.layers), last.next_layer) == (20, None)
    assert (len(first.refs), first.hidden) == (MOST_CONCEPTS, 5)
    assert first.label(first.layers[0]) == "attn1.to_q"
