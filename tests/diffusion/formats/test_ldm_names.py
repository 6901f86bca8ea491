"""Names in the original checkpoints, as Stable Diffusion 1.5's own file has them."""

from __future__ import annotations

import pytest
from mos_diffusion.formats.ldm_names import unet_path, vae_path
from mos_diffusion.formats.openclip_names import openclip_name

UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_2": "time_embed.2",
    "down_blocks.0.resnets.0.norm1": "input_blocks.1.0.in_layers.0",
    "down_blocks.0.attentions.1.proj_in": "input_blocks.2.1.proj_in",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.3.0.op",
    "down_blocks.1.resnets.0.conv_shortcut": "input_blocks.4.0.skip_connection",
    "down_blocks.3.resnets.1.conv2": "input_blocks.11.0.out_layers.3",
    "mid_block.resnets.1.time_emb_proj": "middle_block.2.emb_layers.1",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k": (
        "middle_block.1.transformer_blocks.0.attn2.to_k"
    ),
    "up_blocks.1.upsamplers.0.conv": "output_blocks.5.2.conv",
    "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.2": (
        "output_blocks.11.1.transformer_blocks.0.ff.net.2"
    ),
    "conv_norm_out": "out.0",
}
VAE = {
    "encoder.down_blocks.1.resnets.0.conv_shortcut": "encoder.down.1.block.0.nin_shortcut",
    "encoder.down_blocks.2.downsamplers.0.conv": "encoder.down.2.downsample.conv",
    "encoder.mid_block.attentions.0.to_out.0": "encoder.mid.attn_1.proj_out",
    "encoder.mid_block.attentions.0.group_norm": "encoder.mid.attn_1.norm",
    "decoder.mid_block.attentions.0.query": "decoder.mid.attn_1.q",
    "decoder.mid_block.resnets.1.conv1": "decoder.mid.block_2.conv1",
    "decoder.up_blocks.0.upsamplers.0.conv": "decoder.up.3.upsample.conv",
    "decoder.up_blocks.3.resnets.2.norm2": "decoder.up.0.block.2.norm2",
    "decoder.conv_norm_out": "decoder.norm_out",
    "post_quant_conv": "post_quant_conv",
}


@pytest.mark.parametrize(("path", "name"), UNET.items())
def test_unet_modules_have_their_original_names(path, name):
    assert unet_path(path) == name


def test_an_upsampler_of_a_block_without_attention_comes_first_in_line():
    path = "up_blocks.0.upsamplers.0.conv"
    assert unet_path(path, attention_above=False) == "output_blocks.2.1.conv"


@pytest.mark.parametrize(("path", "name"), VAE.items())
def test_autoencoder_modules_have_their_original_names(path, name):
    assert vae_path(path, levels=4) == name


def test_text_layers_of_openclip_stack_q_k_and_v():
    layer = "text_model.encoder.layers.7."
    block = "transformer.resblocks.7."
    assert openclip_name(f"{layer}self_attn.k_proj.bias") == (f"{block}attn.in_proj_bias", 1)
    assert openclip_name(f"{layer}mlp.fc2.weight") == (f"{block}mlp.c_proj.weight", 0)


@pytest.mark.parametrize("path", ["class_embedding", "down_blocks.0.motion_modules.0.x", ""])
def test_modules_without_a_place_are_a_key_error(path):
    with pytest.raises(KeyError):
        unet_path(path)
    with pytest.raises(KeyError):
        vae_path(path, levels=4)
    with pytest.raises(KeyError):
        openclip_name(path)
