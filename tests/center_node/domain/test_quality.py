from __future__ import annotations

from mos_center.domain.quality import (
    Kept,
    Quality,
    least_kept,
    read_layers,
    read_quality,
)
from reports import AVERAGE, small_report

CAT, POTTER = "bob/cat@1", "ada/potter@2"


def kept(ref: str, result: float) -> Kept:
    return Kept(ref, result, 0.1, {})


def test_a_report_is_read_in_the_order_of_its_concepts_parts_and_blocks() -> None:
    quality = read_quality(small_report({CAT: 0.9, POTTER: 0.4}))

    assert [item.ref for item in quality.kept] == [CAT, POTTER]
    assert [part.part for part in quality.parts] == ["text_encoder", "spatial"]
    assert [block.name for block in quality.blocks] == ["text_encoder", "unet.mid_block"]
    assert quality.blocks[1].kept == {CAT: 0.9, POTTER: 0.4}
    assert (quality.kept[1].result, quality.kept[1].average) == (0.4, AVERAGE)
    assert (quality.collisions[0].concepts, quality.collisions[0].share) == ((CAT, POTTER), 0.03)


def test_a_version_without_a_report_has_an_empty_quality() -> None:
    assert read_quality({}) == Quality()
    assert read_layers({}, "unet.mid_block") == ()


def test_layers_are_those_of_their_block_alone() -> None:
    report = small_report({CAT: 0.9})

    names = [layer.name for layer in read_layers(report, "unet.mid_block")]

    assert names == ["unet.mid_block.attn1.to_q", "unet.mid_block.attn1.to_k"]
    (layer,) = read_layers(report, "text_encoder")
    assert abs(layer.kept[CAT] - 0.9) < 1e-9
    assert read_layers(report, "unet") == ()


def test_those_that_keep_least_stay_in_their_order() -> None:
    items = [kept("a/a@1", 0.9), kept("b/b@1", 0.3), kept("c/c@1", 0.5), kept("d/d@1", 0.1)]

    assert [item.ref for item in least_kept(items, 3)] == ["b/b@1", "c/c@1", "d/d@1"]
    assert least_kept(items, 9) == tuple(items)
