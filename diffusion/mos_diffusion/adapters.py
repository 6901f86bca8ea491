"""LoRA adapters of one concept on a base model, through the adapter API of its libraries.

The libraries wrap a linear layer in PEFT's module; these functions map our layer names to it.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import LoraConfig

from mos_diffusion.base_model import BaseModel, find_layer, model_path


class LoraFactors(NamedTuple):
    """One layer's update: down (r, d_in), up (d_out, r); the weight changes by up @ down."""

    down: torch.Tensor
    up: torch.Tensor


def add_lora(base: BaseModel, adapter: str, layers: Sequence[str], rank: int) -> None:
    """Put fp32 LoRA factors of `rank` on the named layers; other adapters stay active."""
    paths = defaultdict(list)
    for layer in layers:
        model_name, path = model_path(base, layer)
        paths[model_name].append(path)
    for model_name, targets in paths.items():
        model = getattr(base, model_name)
        others = {
            name: parameter.requires_grad
            for name, parameter in model.named_parameters()
            if ".lora_" in name
        }
        before = list(getattr(model, "peft_config", {}))
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets)
        with warnings.catch_warnings():
            # Several concepts on one base are what we want.
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            model.add_adapter(config, adapter_name=adapter)
        model.set_adapter([*before, adapter])
        # Activating adapters makes all of them trainable: give each back what it was.
        for name, parameter in model.named_parameters():
            if name in others:
                parameter.requires_grad_(others[name])
    for layer in layers:
        module: Any = find_layer(base, layer)
        module.lora_A[adapter].float()
        module.lora_B[adapter].float()


def lora_factors(base: BaseModel, adapter: str, layers: Sequence[str]) -> dict[str, LoraFactors]:
    """The live factors of an adapter: the parameters themselves, on the base's device."""
    factors = {}
    for layer in layers:
        module: Any = find_layer(base, layer)
        factors[layer] = LoraFactors(module.lora_A[adapter].weight, module.lora_B[adapter].weight)
    return factors


def set_lora_scale(base: BaseModel, adapter: str, layers: Sequence[str], scale: float) -> None:
    """Multiply the adapter's updates by `scale`; at 0 the layers are the base's exactly."""
    for layer in layers:
        module: Any = find_layer(base, layer)
        module.set_scale(adapter, scale)


def remove_lora(base: BaseModel, adapter: str) -> None:
    """Take the adapter off; when it was the last one, the base's own modules are back."""
    for model in (base.text_encoder, base.unet):
        if adapter not in getattr(model, "peft_config", {}):
            continue
        if set(model.peft_config) == {adapter}:
            recurse_remove_peft_layers(model)
            del model.peft_config
            model._hf_peft_config_loaded = False
        elif model is base.unet:
            model.delete_adapters(adapter)
        else:
            model.delete_adapter(adapter)
