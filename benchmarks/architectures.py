"""The model architectures that benchmarks run on: real sizes, and tiny ones of the same layout.

Nothing here allocates weights: modules are built on the meta device, for their names and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Architecture:
    """A pipeline class and the configurations of its parts.

    text_encoders: component name → settings of a `CLIPTextConfig`. pads: component name of a
    tokenizer → its padding token. projected: the encoders that end in a projection.
    """

    name: str
    pipeline: str
    unet: Settings
    vae: Settings
    text_encoders: Mapping[str, Settings]
    pads: Mapping[str, str]
    projected: tuple[str, ...] = ()

    def modules(self) -> dict[str, nn.Module]:
        """Every component with weights, on the meta device."""
        with torch.device("meta"):
            encoders = {name: self._text_encoder(name) for name in self.text_encoders}
            unet = UNet2DConditionModel(**self.unet)
            return {"unet": unet, "vae": AutoencoderKL(**self.vae), **encoders}

    def encoder_class(self, name: str) -> type[nn.Module]:
        """The transformers class of a text encoder."""
        kind: type[nn.Module] = (
            CLIPTextModelWithProjection if name in self.projected else CLIPTextModel
        )
        return kind

    def _text_encoder(self, name: str) -> nn.Module:
        kind = self.encoder_class(name)
        size = self.text_encoders[name]["vocab_size"]
        config = CLIPTextConfig(
            **self.text_encoders[name],
            bos_token_id=size - 2,
            eos_token_id=size - 1,
            pad_token_id=size - 1,
            architectures=[kind.__name__],
        )
        return kind(config)


_CLIP_L = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
_CLIP_BIG_G = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
_CLIP_TINY = {
    "vocab_size": 1024,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": 32,
}
_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}
_VAE_TINY = {
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (8, 8, 8),
    "norm_num_groups": 4,
    "sample_size": 32,
}
_SD15_BLOCKS = {
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "layers_per_block": 2,
}
_SDXL_BLOCKS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
}
_PAD = {"tokenizer": "<|endoftext|>"}
_TWO_PADS = {**_PAD, "tokenizer_2": "!"}

ARCHITECTURES: Mapping[str, Architecture] = {
    item.name: item
    for item in (
        Architecture(
            name="sd15",
            pipeline="StableDiffusionPipeline",
            unet={
                **_SD15_BLOCKS,
                "sample_size": 64,
                "block_out_channels": (320, 640, 1280, 1280),
                "cross_attention_dim": 768,
                "attention_head_dim": 8,
            },
            vae={**_VAE, "sample_size": 512, "scaling_factor": 0.18215},
            text_encoders={"text_encoder": _CLIP_L},
            pads=_PAD,
        ),
        Architecture(
            name="sdxl",
            pipeline="StableDiffusionXLPipeline",
            unet={
                **_SDXL_BLOCKS,
                "sample_size": 128,
                "block_out_channels": (320, 640, 1280),
                "transformer_layers_per_block": (1, 2, 10),
                "attention_head_dim": (5, 10, 20),
                "cross_attention_dim": 2048,
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
            },
            vae={**_VAE, "sample_size": 1024, "scaling_factor": 0.13025},
            text_encoders={"text_encoder": _CLIP_L, "text_encoder_2": _CLIP_BIG_G},
            projected=("text_encoder_2",),
            pads=_TWO_PADS,
        ),
        Architecture(
            name="tiny",
            pipeline="StableDiffusionPipeline",
            unet={
                **_SD15_BLOCKS,
                "sample_size": 8,
                "block_out_channels": (16, 32, 32, 32),
                "cross_attention_dim": 32,
                "attention_head_dim": 4,
                "norm_num_groups": 8,
            },
            vae=_VAE_TINY,
            text_encoders={"text_encoder": _CLIP_TINY},
            pads=_PAD,
        ),
        Architecture(
            name="tinyxl",
            pipeline="StableDiffusionXLPipeline",
            unet={
                **_SDXL_BLOCKS,
                "sample_size": 8,
                "block_out_channels": (16, 32, 32),
                "transformer_layers_per_block": (1, 1, 2),
                "attention_head_dim": (2, 4, 4),
                "cross_attention_dim": 80,
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 96,
                "norm_num_groups": 8,
            },
            vae=_VAE_TINY,
            text_encoders={
                "text_encoder": _CLIP_TINY,
                "text_encoder_2": {
                    **_CLIP_TINY,
                    "hidden_size": 48,
                    "projection_dim": 48,
                    "hidden_act": "gelu",
                },
            },
            projected=("text_encoder_2",),
            pads=_TWO_PADS,
        ),
    )
}
