"""LoRA files as other trainers write them, for the tiny base of `tiny_base`.

`draw_lora(layers)` makes factors; the writers spell them as kohya's scripts or diffusers do, and
fold nothing: the update is up @ down * alpha / rank in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from mos_diffusion.base_model import BaseModel, bare_linear, find_layer
from mos_protocol.layer_map import Linear
from safetensors.torch import save_file

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Our layer name → down (r, d_in[, 1, 1]), up (d_out, r[, 1, 1])."""


def draw_lora(
    base: BaseModel,
    layers: Iterable[Linear],
    wanted: Callable[[str], bool] = lambda name: True,
    rank: int = 16,
    seed: int = 0,
) -> Factors:
    """Random factors, noticeable but not wild, for the layers for which `wanted(name)`."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for layer in layers:
        if not wanted(layer.name):
            continue
        kernel = bare_linear(find_layer(base, layer.name)).weight.shape[2:]
        down = torch.randn(rank, layer.d_in, *kernel, generator=generator) / layer.d_in**0.5
        up = torch.randn(layer.d_out, rank, *kernel, generator=generator) * 0.05
        factors[layer.name] = (down, up)
    return factors


def write_diffusers(path: Path, factors: Factors, extra: dict | None = None) -> Path:
    """`unet.….lora_A.weight`, as diffusers' and PEFT's trainers save it."""
    tensors = {}
    for name, (down, up) in factors.items():
        model, _, place = name.partition(".")
        level = "text_model." if model == "text_encoder" else ""
        tensors[f"{model}.{level}{place}.lora_A.weight"] = down
        tensors[f"{model}.{level}{place}.lora_B.weight"] = up
    save_file(tensors | (extra or {}), path)
    return path


def write_kohya(
    path: Path, factors: Factors, alpha: float, extra: dict | None = None, prefix: str = "lora_te"
) -> Path:
    """`lora_unet_….lora_down.weight` with one alpha per module, as kohya's scripts save it."""
    tensors = {}
    for name, (down, up) in factors.items():
        model, _, place = name.partition(".")
        level = f"{prefix}_text_model" if model == "text_encoder" else "lora_unet"
        module = f"{level}_{place.replace('.', '_')}"
        tensors[f"{module}.lora_down.weight"] = down
        tensors[f"{module}.lora_up.weight"] = up
        tensors[f"{module}.alpha"] = torch.tensor(alpha)
    save_file(tensors | (extra or {}), path, metadata={"ss_network_module": "networks.lora"})
    return path
