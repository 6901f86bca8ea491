"""The layer map as data: it survives JSON and finds its blocks."""

from __future__ import annotations

import pytest
from mos_protocol.layer_map import Block, LayerInput, LayerMap, Linear, Part
from pydantic import ValidationError
from tiny_package import tiny_layer_map


def test_a_layer_map_survives_json():
    layer_map = tiny_layer_map()
    assert LayerMap.model_validate_json(layer_map.model_dump_json()) == layer_map


def test_a_block_is_found_by_name():
    assert tiny_layer_map().block("unet.mid_block").layers[0].d_out == 12
    with pytest.raises(KeyError):
        tiny_layer_map().block("unet.up_blocks.9")


def test_layers_come_block_by_block():
    assert [layer.name.split(".")[0] for layer in tiny_layer_map().layers()] == [
        "text_encoder",
        "text_encoder",
        "unet",
    ]


@pytest.mark.parametrize("name", ["../x", "a/b", "A.b", "a..b", "", "unet.x\n"])
def test_a_block_name_can_never_be_a_path(name):
    document = tiny_layer_map().model_dump(mode="json")
    document["blocks"][0]["name"] = name
    with pytest.raises(ValidationError):
        LayerMap.model_validate(document)


def with_extra_block() -> LayerMap:
    """The tiny map with the feed-forward layers of its UNet block."""
    layer = "unet.mid_block.attentions.0.proj_in"
    extra = Block(
        name="unet.mid_block.feed_forward",
        inputs=(LayerInput(name="unet.mid_block.attentions.0.in", width=6),),
        layers=(
            Linear(
                name=layer,
                input="unet.mid_block.attentions.0.in",
                part=Part.SPATIAL,
                d_in=6,
                d_out=4,
            ),
        ),
    )
    return tiny_layer_map().model_copy(update={"extra_blocks": (extra,)})


def test_an_extra_block_is_found_and_its_layers_come_last():
    found = with_extra_block()
    assert found.block("unet.mid_block.feed_forward").layers[0].d_out == 4
    assert [layer.d_in for layer in found.layers()] == [8, 8, 8, 6]
    assert [block.name for block in found.all_blocks()][-1] == "unet.mid_block.feed_forward"
    assert LayerMap.model_validate_json(found.model_dump_json()) == found


def test_an_extra_block_counts_only_for_who_changes_it():
    found = with_extra_block()
    assert found.blocks_for(()) == found.blocks
    assert found.blocks_for({"unet.mid_block.attentions.0.proj_in"}) == found.all_blocks()


def test_a_layer_map_stored_without_extra_blocks_is_still_read():
    document = tiny_layer_map().model_dump(mode="json")
    del document["extra_blocks"]
    assert LayerMap.model_validate(document) == tiny_layer_map()
