"""The layer map of a folder is the loaded model's, and no weight is held for it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from mos_diffusion.base_folder import read_layer_map
from mos_diffusion.base_model import layer_map, layer_map_of, load_base
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def folder(base_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base_folder, tmp_path / "base")


def rewrite(path: Path, change) -> None:
    """Replace a file's tensors by `change(tensors)`."""
    tensors = change(load_file(path))
    save_file({name: t.contiguous() for name, t in tensors.items()}, path)


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_layer_map(folder)
    return str(caught.value)


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory) -> Path:
    """The parts of a tiny Stable Diffusion XL that its layer map needs."""
    folder = tmp_path_factory.mktemp("xl")
    encoders = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    for width, (name, kind) in zip((16, 24), encoders.items(), strict=True):
        config = CLIPTextConfig(
            vocab_size=50,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
            projection_dim=width,
        )
        kind(config).save_pretrained(folder / name)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 3),
        layers_per_block=1,
        cross_attention_dim=40,
        attention_head_dim=4,
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=72,
    )
    unet.save_pretrained(folder / "unet")
    index = {name: ["transformers", kind.__name__] for name, kind in encoders.items()}
    index = {"_class_name": "StableDiffusionXLPipeline", **index}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_a_folder_has_the_layer_map_of_the_loaded_model(base_folder, loaded_base):
    assert read_layer_map(base_folder) == layer_map(loaded_base)


def test_a_folder_is_read_without_loading_what_pipelines_need(folder, loaded_base):
    for name in ("vae", "tokenizer", "scheduler"):
        shutil.rmtree(folder / name)
    assert layer_map_of(folder) == layer_map_of(str(folder)) == layer_map(loaded_base)


def test_a_source_that_is_no_folder_is_loaded(tmp_path):
    with pytest.raises(InvalidRequest, match="hub id"):
        layer_map_of(tmp_path / "missing")


def test_a_float16_folder_has_the_same_layer_map(base_folder, loaded_base, folder):
    for name in (UNET, TEXT):
        rewrite(folder / name, lambda tensors: {k: t.half() for k, t in tensors.items()})
    assert read_layer_map(folder) == layer_map(loaded_base)


def test_a_sharded_folder_has_the_same_layer_map(folder, loaded_base):
    (folder / UNET).unlink()
    loaded_base.unet.save_pretrained(folder / "unet", max_shard_size="500KB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 3
    assert read_layer_map(folder) == layer_map(loaded_base)


def test_names_of_older_versions_and_tensors_beside_the_weights_do_not_matter(folder, loaded_base):
    def older(tensors):
        renamed = {f"text_model.{name}": tensor for name, tensor in tensors.items()}
        return {**renamed, "text_model.embeddings.position_ids": torch.arange(32)[None]}

    rewrite(folder / TEXT, older)
    assert read_layer_map(folder) == layer_map(loaded_base)


def test_a_model_with_linear_projections_is_read_too(folder):
    config = json.loads((folder / "unet/config.json").read_text())
    UNet2DConditionModel.from_config({**config, "use_linear_projection": True}).save_pretrained(
        folder / "unet"
    )
    assert read_layer_map(folder) == layer_map(load_base(folder))


def test_one_weight_changes_the_digest_and_nothing_else(folder, loaded_base):
    def change(tensors):
        return {**tensors, "conv_in.bias": tensors["conv_in.bias"] + 1}

    rewrite(folder / UNET, change)
    found, before = read_layer_map(folder), layer_map(loaded_base)
    assert found.digest != before.digest
    assert found.blocks == before.blocks


def test_xl_has_two_text_encoders_and_deep_transformers(xl_folder):
    found = read_layer_map(xl_folder)
    assert [(e.name, e.width, e.tokens) for e in found.text_encoders] == [
        ("text_encoder", 16, 8),
        ("text_encoder_2", 24, 8),
    ]
    assert len(found.cross_attention) == 2 + 3 + 3 + 2 * 3 + 2 * 2
    names = [block.name for block in found.blocks]
    assert names[:3] == ["text_encoder", "text_encoder_2", "unet.down_blocks.1"]
    extra = [block.name for block in found.extra_blocks]
    assert extra[:2] == ["text_encoder.mlp", "text_encoder_2.mlp"]
    context = next(layer for layer in found.layers() if layer.part == Part.CROSS_KV)
    assert context.d_in == 40
    text = found.block("text_encoder_2").layers[0]
    assert text.name == "text_encoder_2.encoder.layers.0.self_attn.q_proj"


def test_xl_digest_covers_every_weight_in_the_order_of_names(xl_folder):
    weights = {}
    for name in ("text_encoder", "text_encoder_2", "unet"):
        (path,) = (xl_folder / name).glob("*.safetensors")
        for key, tensor in load_file(path).items():
            weights[f"{name}.{key.removeprefix('text_model.')}"] = tensor
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {list(weights[name].shape)}\n".encode())
        digest.update(weights[name].half().numpy().tobytes())
    assert read_layer_map(xl_folder).digest == digest.hexdigest()


def test_a_folder_without_model_index_is_refused(tmp_path):
    assert "no model_index.json" in refusal(tmp_path)


def test_another_kind_of_pipeline_is_refused(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert "holds a FluxPipeline" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_damaged_configuration_is_refused(folder, text):
    (folder / "unet/config.json").write_text(text, encoding="latin-1")
    assert "config.json is damaged" in refusal(folder)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"down_block_types": ["NoSuchBlock"]}),
        ("unet", {"block_out_channels": "many"}),
        ("text_encoder", {"hidden_size": "wide"}),
        ("text_encoder", {"num_attention_heads": 0}),
    ],
)
def test_a_configuration_that_describes_no_model_is_refused(folder, part, change):
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert "describes no model" in refusal(folder)


def test_a_text_encoder_of_another_kind_is_refused(folder):
    index = json.loads((folder / "model_index.json").read_text())
    index["text_encoder"] = ["transformers", "T5EncoderModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert "T5EncoderModel" in refusal(folder)


def test_a_missing_weight_is_named(folder):
    rewrite(
        folder / UNET, lambda tensors: {k: t for k, t in tensors.items() if k != "conv_in.bias"}
    )
    assert "conv_in.bias is missing" in refusal(folder)


def test_a_weight_of_another_shape_is_named(folder):
    rewrite(folder / UNET, lambda tensors: {**tensors, "conv_in.bias": torch.zeros(7)})
    assert "conv_in.bias has shape (7,)" in refusal(folder)


def test_a_folder_with_pickles_only_is_refused(folder):
    torch.save({}, folder / "unet/diffusion_pytorch_model.bin")
    (folder / UNET).unlink()
    assert "safetensors" in refusal(folder)


def test_a_truncated_file_is_refused(folder):
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[:-8])
    assert "can't be read" in refusal(folder)
