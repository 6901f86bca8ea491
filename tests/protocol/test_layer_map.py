"""The layer map as data: it survives JSON and finds its blocks."""

from __future__ import annotations

import pytest
from mos_protocol.layer_map import LayerMap
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
