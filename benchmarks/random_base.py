"""A base model of random weights in diffusers layout, written tensor by tensor.

Every tensor is drawn from its own seed, so the folder's bytes depend on the seed alone, and no
more than one tensor is in memory. Scales are those of a fresh network: outputs are finite noise.
"""

from __future__ import annotations

import hashlib
import json
from math import prod
from pathlib import Path
from typing import Any

import diffusers
import torch
from architectures import Architecture
from diffusers import PNDMScheduler
from mos_center.fusion.components import published_name, weights_name
from mos_diffusion.tensor_file import Spec, write_tensors
from torch import Tensor, nn
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 77
# Single tokens, as class words must be.
WORDS = ("a", "an", "photo", "of", "on", "the", "man", "woman", "cat", "dog", "chair", "beach")
_EMBEDDING_STD = 0.02


def seeded(*names: object) -> torch.Generator:
    """A generator that depends on the names alone."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def write_base(architecture: Architecture, folder: Path, dtype: torch.dtype, seed: int) -> Path:
    """Write the diffusers folder and return it; peak memory is that of the largest tensor."""
    folder.mkdir(parents=True)
    for name, module in architecture.modules().items():
        _write_component(folder / name, name, module, dtype, seed)
    for name, pad in architecture.pads.items():
        encoder = name.replace("tokenizer", "text_encoder")
        size = architecture.text_encoders[encoder]["vocab_size"]
        tokenizer(size, pad).save_pretrained(folder / name)
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
    )
    scheduler.save_pretrained(folder / "scheduler")
    index = json.dumps(_index(architecture), indent=2)
    (folder / "model_index.json").write_text(index + "\n", encoding="utf-8")
    return folder


def tokenizer(size: int, pad: str) -> CLIPTokenizer:
    """Byte-pair encoding of `size` entries: bytes, a few words, numbered filler, start and end."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(byte) for byte in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    merges = list(dict.fromkeys(pair for word in WORDS for pair in _merges(word)))
    tokens = characters + [character + "</w>" for character in characters]
    tokens = list(dict.fromkeys(tokens + ["".join(pair) for pair in merges]))
    tokens += [f"filler{i}</w>" for i in range(size - 2 - len(tokens))] + [START, END]
    if len(tokens) != size:
        raise ValueError(f"a vocabulary of {size} can't hold {len(tokens)} entries")
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=pad,
        model_max_length=TOKENS,
    )


def _merges(word: str) -> list[tuple[str, str]]:
    """Merges that build the word from its end, so that no two words disturb each other."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    return [(pieces[i], "".join(pieces[i + 1 :])) for i in range(len(pieces) - 2, -1, -1)]


def _write_component(folder: Path, name: str, module: Any, dtype: torch.dtype, seed: int) -> None:
    folder.mkdir()
    if hasattr(module, "save_config"):
        module.save_config(folder)
    else:
        module.config.dtype = dtype
        module.config.save_pretrained(folder)
    shapes = {published_name(name, key): value.shape for key, value in module.state_dict().items()}
    tables = {
        published_name(name, f"{path}.weight")
        for path, child in module.named_modules()
        if isinstance(child, nn.Embedding)
    }
    specs = {key: Spec(dtype, tuple(shape)) for key, shape in shapes.items()}
    file = "model.safetensors" if name.startswith("text_encoder") else weights_name("unet")

    def tensor(key: str) -> Tensor:
        values = _values(specs[key].shape, key, key in tables, seeded(seed, name, key))
        return values.to(dtype)

    write_tensors(folder / file, specs, tensor, {"format": "pt"})


def _values(shape: tuple[int, ...], key: str, table: bool, generator: torch.Generator) -> Tensor:
    """float32: biases 0, norms 1, tables of the usual spread, other weights 1/√fan-in."""
    if key.endswith("bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    std = _EMBEDDING_STD if table else prod(shape[1:]) ** -0.5
    return torch.randn(shape, generator=generator).mul_(std)


def _index(architecture: Architecture) -> dict[str, object]:
    """`model_index.json`; a pipeline without a safety checker."""
    encoders = {
        name: ["transformers", architecture.encoder_class(name).__name__]
        for name in architecture.text_encoders
    }
    index: dict[str, object] = {
        "_class_name": architecture.pipeline,
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        **encoders,
        **{name: ["transformers", "CLIPTokenizer"] for name in architecture.pads},
    }
    if architecture.pipeline == "StableDiffusionPipeline":
        index |= {"requires_safety_checker": False, "safety_checker": [None, None]}
    else:
        index |= {"force_zeros_for_empty_prompt": True, "image_encoder": [None, None]}
    return index
