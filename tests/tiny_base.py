"""A whole Stable Diffusion folder with random weights, small enough to build in every test run.

Stable Diffusion 1.5's layout (16 cross-attention layers), 32 text tokens of width 32, latents
4x8x8, pictures 32x32.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TOKENS = 32
WIDTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"
SINGLE_TOKEN_WORDS = (
    *("a", "an", "photo", "of", "on", "the", "beach", "in", "grass", "red", "blue"),
    *("man", "woman", "cat", "dog", "chair"),
)


def write_tiny_base(folder: Path, seed: int = 0) -> Path:
    """Write the folder and return it; the same seed gives the same weights."""
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = StableDiffusionPipeline(
            vae=_vae(),
            text_encoder=_text_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=_unet(),
            scheduler=DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)
    return folder


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32, 32, 32),
        down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        layers_per_block=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
    )


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            projection_dim=WIDTH,
            # Random tables this wide keep words apart, as trained ones do.
            initializer_range=0.2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def tiny_tokenizer() -> CLIPTokenizer:
    """Byte-pair encoding over all bytes, with merges that make a few words single tokens."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(byte) for byte in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    merges = list(dict.fromkeys(pair for word in SINGLE_TOKEN_WORDS for pair in _merges(word)))
    tokens = characters + [character + "</w>" for character in characters]
    tokens += ["".join(pair) for pair in merges] + [START, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=TOKENS,
    )


def _merges(word: str) -> list[tuple[str, str]]:
    """Merges that build the word from its end, so that no two words disturb each other."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    return [(pieces[i], "".join(pieces[i + 1 :])) for i in range(len(pieces) - 2, -1, -1)]
