"""A CLIP and a DINO with random weights, small enough to build in every test run."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_base import TOKENS, WIDTH, tiny_tokenizer
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

SIDE = 32
_LAYERS = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2}
_LAYERS |= {"num_attention_heads": 4, "initializer_range": 0.2}


def write_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Write the folder and return it; the same seed gives the same weights."""
    tokenizer = tiny_tokenizer()
    text = {
        **_LAYERS,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**_LAYERS, "image_size": SIDE, "patch_size": 8}
    images = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def write_tiny_dino(folder: Path, seed: int = 0) -> Path:
    """Write the folder and return it; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ViTModel(ViTConfig(image_size=SIDE, patch_size=8, **_LAYERS)).save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder
