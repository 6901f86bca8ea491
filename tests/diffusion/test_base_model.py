from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from mos_diffusion.base_model import BaseModel, base_digest, blocks, layer_map, load_base
from mos_diffusion.edlora import attach_concept
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from transformers.utils import logging as transformers_logging


def test_float16_copy_has_the_digest_of_the_float32_one(base_folder, loaded_base):
    half = load_base(base_folder, dtype=torch.float16)
    assert half.dtype == torch.float16
    assert base_digest(half) == base_digest(loaded_base)


@pytest.mark.parametrize("model", ["unet", "text_encoder"])
def test_digest_changes_with_one_weight(base: BaseModel, model: str):
    before = base_digest(base)
    weight = next(getattr(base, model).parameters())
    weight.view(-1)[0] += 1
    assert base_digest(base) != before


def test_digest_ignores_the_autoencoder_and_attached_concepts(base, random_concept):
    before = base_digest(base)
    next(base.vae.parameters()).add_(1)
    with (
        attach_concept(base, random_concept()),
        attach_concept(base, random_concept(("<cat1>", "<cat2>"))),
    ):
        assert base_digest(base) == before


def test_layer_map_counts_layers_and_shares_inputs(loaded_base):
    found = layer_map(loaded_base)
    layers = [layer for block in found.blocks for layer in block.layers]
    parts = [layer.part for layer in layers]
    assert parts.count(Part.TEXT_ENCODER) == 2 * 4
    assert parts.count(Part.CROSS_KV) == 16 * 2
    assert parts.count(Part.SPATIAL) == 16 * 6
    inputs = [item.name for block in found.blocks for item in block.inputs]
    assert len(inputs) == len(set(inputs)) == 2 * 2 + 16 * 5
    assert {layer.input for layer in layers} == set(inputs)
    assert found.text_encoders[0].width == 32
    assert found.text_encoders[0].tokens == 32


def test_layers_around_attention_have_blocks_and_inputs_of_their_own(loaded_base):
    found = layer_map(loaded_base)
    layers = [layer for block in found.extra_blocks for layer in block.layers]
    assert len(layers) == len({layer.input for layer in layers}) == 2 * 2 + 16 * 4
    assert not {layer.input for layer in layers} & {
        item.name for block in found.blocks for item in block.inputs
    }
    assert [block.name for block in found.extra_blocks] == [
        "text_encoder.mlp",
        *(f"{block.name}.feed_forward" for block in found.blocks[1:]),
    ]
    place = "unet.mid_block.attentions.0"
    assert [layer.name for layer in found.block("unet.mid_block.feed_forward").layers] == [
        f"{place}.proj_in",
        f"{place}.transformer_blocks.0.ff.net.0.proj",
        f"{place}.transformer_blocks.0.ff.net.2",
        f"{place}.proj_out",
    ]


def test_blocks_are_the_ones_with_attention(loaded_base):
    assert [block.name for block in blocks(loaded_base)] == [
        "text_encoder",
        "unet.down_blocks.0",
        "unet.down_blocks.1",
        "unet.down_blocks.2",
        "unet.mid_block",
        "unet.up_blocks.1",
        "unet.up_blocks.2",
        "unet.up_blocks.3",
    ]


def test_cross_attention_is_listed_in_order_of_execution(base):
    order: list[str] = []
    names = {module: f"unet.{path}" for path, module in base.unet.named_modules()}
    for path, module in base.unet.named_modules():
        if path.endswith(".attn2"):
            module.register_forward_pre_hook(lambda module, _: order.append(names[module]))
    base.unet(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 32, 32))
    assert len(order) == 16
    assert list(layer_map(base).cross_attention) == order


def test_layer_map_is_the_same_with_a_concept_attached(base, random_concept):
    before = layer_map(base)
    with attach_concept(base, random_concept()):
        assert layer_map(base) == before


def test_text_model_level_of_older_stacks_is_left_out_of_names(base):
    before = layer_map(base)

    class Older(torch.nn.Module):
        def __init__(self, text_model: torch.nn.Module) -> None:
            super().__init__()
            self.text_model = text_model
            self.config = text_model.config

        def get_input_embeddings(self) -> torch.nn.Module:
            return self.text_model.get_input_embeddings()

    base.text_encoder = Older(base.text_encoder)
    assert layer_map(base) == before


def test_base_is_frozen_and_knows_its_picture_size(loaded_base):
    assert not any(p.requires_grad for p in loaded_base.unet.parameters())
    assert not any(p.requires_grad for p in loaded_base.text_encoder.parameters())
    assert not loaded_base.unet.training
    assert loaded_base.resolution == 32


def test_folder_without_model_index_is_refused(tmp_path: Path):
    with pytest.raises(InvalidRequest, match=r"model_index\.json"):
        load_base(tmp_path)


def test_other_kind_of_pipeline_is_refused(tmp_path: Path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    with pytest.raises(InvalidRequest, match="StableDiffusionXLPipeline"):
        load_base(tmp_path)


def test_source_that_is_nowhere_is_refused_with_a_hint(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="hub id"):
        load_base(tmp_path / "missing")


def test_pickled_weights_are_never_read(base_folder: Path, tmp_path: Path):
    folder = shutil.copytree(base_folder, tmp_path / "pickled")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(InvalidRequest, match="can't be loaded"):
        load_base(folder)


def test_loading_prints_no_bars_and_leaves_the_libraries_as_they_were(base_folder, capfd):
    libraries = (diffusers_logging, transformers_logging)
    for library in libraries:
        library.enable_progress_bar()
    capfd.readouterr()
    load_base(base_folder)
    assert "Loading" not in capfd.readouterr().err
    assert all(library.is_progress_bar_enabled() for library in libraries)
