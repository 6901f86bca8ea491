"""LoRA files of other tools: written by the tools themselves where they are here, else by key."""

from __future__ import annotations

import copy
import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from mos_diffusion.base_model import layer_map
from mos_diffusion.formats import read_lora
from mos_diffusion.formats.module_names import known_layers, kohya_name, kohya_table
from mos_protocol.errors import InvalidRequest
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

BLOCK = "down_blocks.0.attentions.0"
TO_Q = f"unet.{BLOCK}.transformer_blocks.0.attn1.to_q"
TO_OUT = f"unet.{BLOCK}.transformer_blocks.0.attn2.to_out.0"
PROJ_IN = f"unet.{BLOCK}.proj_in"
FF = f"unet.{BLOCK}.transformer_blocks.0.ff.net.0.proj"
Q_PROJ = "text_encoder.encoder.layers.1.self_attn.q_proj"
FC1 = "text_encoder.encoder.layers.0.mlp.fc1"


def factors(rank: int = 3, d_in: int = 5, d_out: int = 7, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, d_in, generator=generator)
    return down, torch.randn(d_out, rank, generator=generator)


def write(path: Path, tensors: dict[str, torch.Tensor], metadata: dict | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, path, metadata)
    return path


def read_one(path: Path, layer: str):
    """The only layer of a file without anything unsupported: its update."""
    found = read_lora(path)
    assert found.layers.keys() == {layer}
    assert found.unsupported == ()
    down, up = found.layers[layer]
    assert down.dtype == up.dtype == torch.float32
    return up @ down


KOHYA = {
    TO_Q: f"lora_unet_{BLOCK}_transformer_blocks_0_attn1_to_q".replace(".", "_"),
    TO_OUT: f"lora_unet_{BLOCK}_transformer_blocks_0_attn2_to_out_0".replace(".", "_"),
    FF: "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_ff_net_0_proj",
    PROJ_IN: "lora_unet_down_blocks_0_attentions_0_proj_in",
    Q_PROJ: "lora_te_text_model_encoder_layers_1_self_attn_q_proj",
    FC1: "lora_te_text_model_encoder_layers_0_mlp_fc1",
}
SDXL = {
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": (
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    ),
    "unet.down_blocks.2.attentions.1.transformer_blocks.9.ff.net.2": (
        "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_2"
    ),
    "unet.mid_block.attentions.0.proj_out": "lora_unet_middle_block_1_proj_out",
    "unet.up_blocks.1.attentions.2.proj_in": "lora_unet_output_blocks_5_1_proj_in",
    "unet.up_blocks.0.resnets.1.time_emb_proj": "lora_unet_output_blocks_1_0_emb_layers_1",
    "text_encoder.encoder.layers.0.mlp.fc1": "lora_te1_text_model_encoder_layers_0_mlp_fc1",
    "text_encoder_2.encoder.layers.31.self_attn.out_proj": (
        "lora_te2_text_model_encoder_layers_31_self_attn_out_proj"
    ),
    "text_encoder_2.text_projection": "lora_te2_text_projection",
}


@pytest.mark.parametrize(("layer", "name"), [*KOHYA.items(), *SDXL.items()])
def test_kohya_names_are_resolved_and_alpha_over_rank_is_folded_in(tmp_path, layer, name):
    down, up = factors(rank=3)
    path = write(
        tmp_path / "kohya.safetensors",
        {
            f"{name}.lora_down.weight": down,
            f"{name}.lora_up.weight": up,
            f"{name}.alpha": torch.tensor(1.5),
        },
    )

    torch.testing.assert_close(read_one(path, layer), 0.5 * up @ down)


def test_a_kohya_file_without_alpha_has_the_scale_one(tmp_path):
    down, up = factors()
    name = KOHYA[TO_Q]
    path = write(
        tmp_path / "a.safetensors",
        {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up},
    )

    torch.testing.assert_close(read_one(path, TO_Q), up @ down)


def test_no_two_known_layers_share_a_kohya_name():
    names = [name for layer in known_layers() for name in kohya_table([layer])]

    assert len(names) == len(set(names))
    assert kohya_name(Q_PROJ) == KOHYA[Q_PROJ]


def test_1x1_convolutions_are_linear_and_wider_ones_are_unsupported(tmp_path):
    down, up = factors()
    name = KOHYA[PROJ_IN]
    wide = "lora_unet_down_blocks_0_resnets_0_conv1"
    path = write(
        tmp_path / "conv.safetensors",
        {
            f"{name}.lora_down.weight": down[:, :, None, None],
            f"{name}.lora_up.weight": up[:, :, None, None],
            f"{wide}.lora_down.weight": down[:, :, None, None].expand(-1, -1, 3, 3),
            f"{wide}.lora_up.weight": up[:, :, None, None],
        },
    )

    found = read_lora(path)

    assert found.layers.keys() == {PROJ_IN}
    assert found.layers[PROJ_IN].down.shape == down.shape
    assert found.unsupported == (wide,)


OLD_STYLES = {
    f"unet.{BLOCK}.transformer_blocks.0.attn1.to_q.lora_A.weight": TO_Q,
    f"unet.{BLOCK}.transformer_blocks.0.attn1.to_q.lora.down.weight": TO_Q,
    f"unet.{BLOCK}.transformer_blocks.0.attn1.processor.to_q_lora.down.weight": TO_Q,
    f"{BLOCK}.transformer_blocks.0.attn1.processor.to_q_lora.down.weight": TO_Q,
    f"{BLOCK}.transformer_blocks.0.attn2.processor.to_out_lora.down.weight": TO_OUT,
    f"unet.{BLOCK}.transformer_blocks.0.attn2.to_out.0.lora.down.weight": TO_OUT,
    f"unet.{BLOCK}.transformer_blocks.0.ff.net.0.proj.lora.down.weight": FF,
    f"unet.{BLOCK}.proj_in.lora.down.weight": PROJ_IN,
    "text_encoder.text_model.encoder.layers.1.self_attn.to_q_lora.down.weight": Q_PROJ,
    "text_encoder.text_model.encoder.layers.1.self_attn.q_proj.lora_linear_layer.down.weight": (
        Q_PROJ
    ),
    "text_encoder.encoder.layers.1.self_attn.q_proj.lora_A.weight": Q_PROJ,
    "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_linear_layer.down.weight": FC1,
}


@pytest.mark.parametrize(("key", "layer"), OLD_STYLES.items())
def test_every_key_style_of_diffusers_is_read(tmp_path, key, layer):
    down, up = factors()
    other = key.replace("lora_A", "lora_B").replace(".down.", ".up.")
    path = write(tmp_path / "d.safetensors", {key: down, other: up})

    torch.testing.assert_close(read_one(path, layer), up @ down)


def adapted(base, alpha: float, rslora: bool = False):
    """The base's UNet and text encoder with a PEFT adapter of random factors on some layers."""
    unet, text_encoder = copy.deepcopy(base.unet), copy.deepcopy(base.text_encoder)
    options = {"lora_alpha": alpha, "init_lora_weights": False, "use_rslora": rslora}
    options["rank_pattern"] = {"attn2.to_k": 5}
    options["alpha_pattern"] = {"attn2.to_v": 3.0}
    targets = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.2", "proj_in"]
    unet.add_adapter(LoraConfig(r=4, target_modules=targets, **options))
    text = {key: value for key, value in options.items() if not key.endswith("pattern")}
    text_encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj", "fc2"], **text))
    return unet, text_encoder


def updates(model, component: str) -> dict[str, torch.Tensor]:
    """What PEFT itself would add to each layer."""
    return {
        f"{component}.{name.removeprefix('text_model.')}": module.get_delta_weight("default")
        .detach()
        .flatten(1)
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }


def check_updates(found, expected):
    assert found.layers.keys() == expected.keys()
    for name, update in expected.items():
        down, up = found.layers[name]
        torch.testing.assert_close(up @ down, update, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rslora", [False, True])
def test_what_stock_diffusers_saves_is_read_as_peft_computes_it(base, tmp_path, rslora):
    unet, text_encoder = adapted(base, alpha=2.0, rslora=rslora)
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(unet),
        text_encoder_lora_layers=get_peft_model_state_dict(text_encoder),
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=text_encoder.peft_config["default"].to_dict(),
    )

    found = read_lora(tmp_path / "pytorch_lora_weights.safetensors", layer_map=None)

    check_updates(found, {**updates(unet, "unet"), **updates(text_encoder, "text_encoder")})
    assert {len(item.down) for item in found.layers.values()} == {2, 4, 5}


def test_what_peft_saves_is_read_with_the_alpha_beside_it(base, tmp_path):
    config = LoraConfig(r=4, lora_alpha=1, target_modules=["to_q", "proj_out"])
    config.init_lora_weights = False
    model = get_peft_model(copy.deepcopy(base.unet), config)
    model.save_pretrained(tmp_path / "unet")

    found = read_lora(tmp_path / "unet/adapter_model.safetensors")

    check_updates(found, updates(model.base_model.model, "unet"))


def test_what_a_unet_saves_of_its_own_adapter_is_read(base, tmp_path):
    unet, _ = adapted(base, alpha=2.0)
    unet.save_lora_adapter(tmp_path, adapter_name="default")

    found = read_lora(tmp_path / "pytorch_lora_weights.safetensors")

    check_updates(found, updates(unet, "unet"))


@pytest.mark.parametrize("suffix", [".alpha", ".lora.alpha", "_lora.alpha"])
def test_an_alpha_belongs_to_its_module_however_it_is_attached(tmp_path, suffix):
    down, up = factors(rank=3)
    processor = f"unet.{BLOCK}.transformer_blocks.0.attn1.processor.to_q"
    path = write(
        tmp_path / "a.safetensors",
        {
            f"{processor}_lora.down.weight": down,
            f"{processor}_lora.up.weight": up,
            f"{processor}{suffix}": torch.tensor(6.0),
        },
    )

    torch.testing.assert_close(read_one(path, TO_Q), 2 * up @ down)


def test_alphas_by_old_names_of_text_layers_count(tmp_path):
    down, up = factors(rank=3)
    key = f"text_encoder.text_model.{Q_PROJ.removeprefix('text_encoder.')}"
    config = {
        "text_encoder.lora_alpha": 3,
        "text_encoder.alpha_pattern": {key.removeprefix("text_encoder."): 6},
    }
    path = write(
        tmp_path / "a.safetensors",
        {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up},
        {"lora_adapter_metadata": json.dumps(config)},
    )

    torch.testing.assert_close(read_one(path, Q_PROJ), 2 * up @ down)


def test_what_was_read_outlives_its_file(tmp_path):
    down, up = factors()
    name = KOHYA[TO_Q]
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    path = write(tmp_path / "a.safetensors", tensors)

    found = read_lora(path)
    path.write_bytes(b"")

    torch.testing.assert_close(found.layers[TO_Q].down, down)


def test_a_peft_file_says_which_encoder_by_its_folder(tmp_path):
    down, up = factors()
    key = "base_model.model.text_model.encoder.layers.1.self_attn.q_proj.lora_A.weight"
    for folder in ("text_encoder", "text_encoder_2"):
        tensors = {key: down, key.replace("lora_A", "lora_B"): up}
        path = write(tmp_path / folder / "adapter_model.safetensors", tensors)
        (path.parent / "adapter_config.json").write_text(json.dumps({"lora_alpha": 6}))

        layer = f"{folder}.encoder.layers.1.self_attn.q_proj"
        torch.testing.assert_close(read_one(path, layer), 2 * up @ down)


def test_a_peft_file_without_its_configuration_is_refused(tmp_path):
    down, up = factors()
    key = f"base_model.model.{BLOCK}.proj_in.lora_A.weight"
    path = write(tmp_path / "a.safetensors", {key: down, key.replace("lora_A", "lora_B"): up})

    with pytest.raises(InvalidRequest, match="how strong") as caught:
        read_lora(path)
    assert "adapter_config.json" in caught.value.hint


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        "{",
        '{"r": 3}',
        '{"lora_alpha": NaN}',
        '{"lora_alpha": 1, "alpha_pattern": {"(a+)+$": 2}}',
    ],
)
def test_a_damaged_or_hostile_adapter_configuration_is_refused(tmp_path, config):
    down, up = factors()
    key = f"base_model.model.{BLOCK}.proj_in.lora_A.weight"
    path = write(tmp_path / "a.safetensors", {key: down, key.replace("lora_A", "lora_B"): up})
    (tmp_path / "adapter_config.json").write_text(config)

    with pytest.raises(InvalidRequest, match=r"adapter_config\.json"):
        read_lora(path)


@pytest.mark.parametrize("suffix", ["dora_scale", "lora_mid.weight", "hada_w1_a", "diff_b"])
def test_modules_that_are_no_plain_lora_are_listed_as_a_whole(tmp_path, suffix):
    down, up = factors()
    name, other = KOHYA[TO_Q], KOHYA[Q_PROJ]
    path = write(
        tmp_path / "mixed.safetensors",
        {
            f"{name}.lora_down.weight": down,
            f"{name}.lora_up.weight": up,
            f"{other}.lora_down.weight": down,
            f"{other}.lora_up.weight": up,
            f"{other}.{suffix}": down,
        },
    )

    found = read_lora(path)

    assert found.layers.keys() == {TO_Q}
    assert found.unsupported == (other,)


def test_unknown_modules_are_listed_by_the_name_that_the_file_gives_them(tmp_path):
    down, up = factors()
    tensors = {}
    for name in (KOHYA[TO_Q], "lora_unet_single_blocks_0_linear1", "unet.weird.thing"):
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up + 1}
    path = write(tmp_path / "mixed.safetensors", tensors)

    found = read_lora(path)

    assert found.unsupported == ("lora_unet_single_blocks_0_linear1", "unet.weird.thing")


def test_bundled_embeddings_are_found_by_encoder_and_word(tmp_path):
    down, up = factors()
    name = KOHYA[TO_Q]
    path = write(
        tmp_path / "bundle.safetensors",
        {
            f"{name}.lora_down.weight": down,
            f"{name}.lora_up.weight": up,
            "bundle_emb.dog.string_to_param.*": torch.ones(2, 8),
            "bundle_emb.cat.clip_g": torch.ones(12),
        },
        {"ss_network_dim": "3"},
    )

    found = read_lora(path)

    assert found.embeddings["text_encoder.dog"].shape == (2, 8)
    assert found.embeddings["text_encoder_2.cat"].shape == (1, 12)
    assert found.metadata == {"ss_network_dim": "3"}


def test_with_a_layer_map_only_its_layers_count_and_must_fit(base, tmp_path):
    layers = layer_map(base)
    linear = next(item for item in layers.layers() if item.name == TO_Q)
    down, up = factors(d_in=linear.d_in, d_out=linear.d_out)
    beyond = kohya_name("text_encoder.encoder.layers.20.mlp.fc1")
    tensors = {}
    for name in (KOHYA[TO_Q], beyond):
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up + 0}
    path = write(tmp_path / "fits.safetensors", tensors)

    found = read_lora(path, layers)

    assert found.layers.keys() == {TO_Q}
    assert found.unsupported == (beyond,)

    tensors[f"{KOHYA[TO_Q]}.lora_up.weight"] = torch.cat([up, up])
    with pytest.raises(InvalidRequest, match="another base model"):
        read_lora(write(tmp_path / "other.safetensors", tensors), layers)


def hostile(kind: str) -> dict[str, torch.Tensor]:
    down, up = factors()
    name = KOHYA[TO_Q]
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    changes = {
        "half": {f"{name}.lora_up.weight": None},
        "ranks": {f"{name}.lora_up.weight": up[:, :2]},
        "no rank": {
            f"{name}.lora_up.weight": up[:, :0],
            f"{name}.lora_down.weight": down[:0],
        },
        "nan": {f"{name}.lora_up.weight": up * float("nan")},
        "infinite alpha": {f"{name}.alpha": torch.tensor(float("inf"))},
        "alphas": {f"{name}.alpha": torch.ones(3)},
        "twice": {f"{TO_Q}.lora_A.weight": down + 1, f"{TO_Q}.lora_B.weight": up + 1},
        "two adapters": {f"{name}.lora_down.other.weight": down + 1},
        "booleans": {f"{name}.lora_up.weight": up > 0},
        "long key": {"x" * 1000 + ".lora_A.weight": down + 1},
        "a whole model": {
            f"{name}.lora_down.weight": None,
            f"{name}.lora_up.weight": None,
            "model.diffusion_model.out.2.weight": up,
        },
    }[kind]
    return {key: value for key, value in (tensors | changes).items() if value is not None}


@pytest.mark.parametrize(
    "kind",
    [
        *("half", "ranks", "no rank", "nan", "infinite alpha", "alphas", "twice"),
        *("two adapters", "booleans", "long key", "a whole model"),
    ],
)
def test_damaged_and_hostile_tensors_are_refused(tmp_path, kind):
    path = write(tmp_path / "hostile.safetensors", hostile(kind))

    with pytest.raises(InvalidRequest):
        read_lora(path)


def test_pickles_and_damaged_files_are_refused_with_a_hint(tmp_path):
    good = write(tmp_path / "good.safetensors", hostile("half"))
    contents = {
        "a.pt": pickle.dumps({"a": 1}),
        "b.ckpt": b"PK\x03\x04" + b"\0" * 64,
        "cut.safetensors": good.read_bytes()[:-10],
        "header.safetensors": struct.pack("<Q", 1 << 60) + b"{}",
        "empty.safetensors": b"",
        "text.safetensors": b"not a model at all",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidRequest) as caught:
            read_lora(tmp_path / name)
        assert caught.value.hint
    with pytest.raises(InvalidRequest, match="no file"):
        read_lora(tmp_path / "missing.safetensors")
    with pytest.raises(InvalidRequest, match="no file"):
        read_lora(tmp_path)


def test_a_file_of_countless_empty_tensors_is_refused(tmp_path):
    header = {
        f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(60_000)
    }
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    (tmp_path / "many.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)

    with pytest.raises(InvalidRequest, match="60000 tensors"):
        read_lora(tmp_path / "many.safetensors")
