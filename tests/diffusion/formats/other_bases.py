"""The tiny base in the other generations' shapes: Stable Diffusion 2.x and XL."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from tiny_base import write_tiny_base
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection


def write_tiny_v2(folder: Path) -> Path:
    """OpenCLIP's activation in the text encoder, linear projections in the UNet."""
    pipe = _tiny(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        text = CLIPTextConfig(**{**pipe.text_encoder.config.to_dict(), "hidden_act": "gelu"})
        unet = {**pipe.unet.config, "use_linear_projection": True}
        pipe.register_modules(
            text_encoder=CLIPTextModel(text), unet=UNet2DConditionModel.from_config(unet)
        )
    pipe.save_pretrained(folder)
    return folder


def write_tiny_xl(folder: Path) -> Path:
    """Two text encoders, three levels, several transformers in a stage."""
    pipe = _tiny(folder)
    first = pipe.text_encoder.config.to_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        second = {**first, "hidden_size": 48, "projection_dim": 48, "hidden_act": "gelu"}
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32, 32),
            down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
            up_block_types=(*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
            transformer_layers_per_block=(1, 1, 2),
            layers_per_block=2,
            cross_attention_dim=32 + 48,
            attention_head_dim=(2, 4, 4),
            norm_num_groups=8,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=48 + 6 * 8,
        )
        whole = StableDiffusionXLPipeline(
            vae=pipe.vae,
            text_encoder=pipe.text_encoder,
            text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**second)),
            tokenizer=pipe.tokenizer,
            tokenizer_2=pipe.tokenizer,
            unet=unet,
            scheduler=pipe.scheduler,
        )
    whole.save_pretrained(folder)
    return folder


def _tiny(folder: Path) -> StableDiffusionPipeline:
    write_tiny_base(folder.with_name(f"{folder.name}-v1"))
    return StableDiffusionPipeline.from_pretrained(folder.with_name(f"{folder.name}-v1"))
