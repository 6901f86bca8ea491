"""LoRA adapters of one concept on a base model, through the adapter API of its libraries.

The libraries wrap a linear layer or 1x1 convolution in PEFT's module; these functions map our
layer names to it.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from mos_protocol.layer_map import Block, LayerMap
from peft import LoraConfig
from torch import nn

from mos_diffusion.base_model import BaseModel, blocks, extra_blocks, find_layer, model_path


class LoraFactors(NamedTuple):
    """One layer's update: down (r, d_in), up (d_out, r); the weight changes by up @ down."""

    down: torch.Tensor
    up: torch.Tensor


def add_lora(base: BaseModel, adapter: str, ranks: Mapping[str, int]) -> None:
    """Put fp32 LoRA factors on the layers, each of its rank; other adapters stay active."""
    paths: dict[str, dict[str, int]] = defaultdict(dict)
    for layer, rank in ranks.items():
        model_name, path = model_path(base, layer)
        paths[model_name][path] = rank
    for model_name, targets in paths.items():
        model = getattr(base, model_name)
        others = {
            name: parameter.requires_grad
            for name, parameter in model.named_parameters()
            if ".lora_" in name
        }
        before = list(getattr(model, "peft_config", {}))
        config = _lora_config(targets)
        with warnings.catch_warnings():
            # Several concepts on one base are what we want.
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            model.add_adapter(config, adapter_name=adapter)
        model.set_adapter([*before, adapter])
        # Activating adapters makes all of them trainable: give each back what it was.
        for name, parameter in model.named_parameters():
            if name in others:
                parameter.requires_grad_(others[name])
    for parameter in lora_parameters(base, adapter, list(ranks)):
        parameter.data = parameter.data.float()


def lora_parameters(base: BaseModel, adapter: str, layers: Sequence[str]) -> Iterator[nn.Parameter]:
    """The factors of an adapter, down and up, layer by layer, in PEFT's shapes."""
    for layer in layers:
        module: Any = find_layer(base, layer)
        yield module.lora_A[adapter].weight
        yield module.lora_B[adapter].weight


def lora_factors(base: BaseModel, adapter: str, layers: Sequence[str]) -> dict[str, LoraFactors]:
    """The live factors of an adapter, on the base's device; views of a convolution's."""
    parameters = lora_parameters(base, adapter, layers)
    return {
        layer: LoraFactors(_matrix(next(parameters)), _matrix(next(parameters))) for layer in layers
    }


def set_lora_scale(base: BaseModel, adapter: str, layers: Collection[str], scale: float) -> None:
    """Multiply the adapter's updates by `scale`; at 0 the layers are the base's exactly."""
    for layer in layers:
        module: Any = find_layer(base, layer)
        module.set_scale(adapter, scale)


def changed_layers(base: BaseModel) -> set[str]:
    """The layers that an adapter is on now."""
    names = {layer.name for block in (*blocks(base), *extra_blocks(base)) for layer in block.layers}
    return {name for name in names if hasattr(find_layer(base, name), "lora_A")}


def recorded_blocks(base: BaseModel, layers: LayerMap | None = None) -> tuple[Block, ...]:
    """The blocks whose inputs fusion needs of the base as it stands, concepts attached.

    All attention blocks, and the extra blocks that an adapter changes. `layers` is the base's map,
    where it is at hand.
    """
    if layers is not None:
        return layers.blocks_for(changed_layers(base))
    changed = changed_layers(base)
    extra = extra_blocks(base)
    return blocks(base) + tuple(
        block for block in extra if any(layer.name in changed for layer in block.layers)
    )


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


def _lora_config(ranks: Mapping[str, int]) -> LoraConfig:
    """PEFT's configuration for modules by path, with a scale of 1 whatever the rank."""
    most = max(ranks.values())
    others = {re.escape(path): rank for path, rank in ranks.items() if rank != most}
    return LoraConfig(
        r=most,
        lora_alpha=most,
        target_modules=list(ranks),
        rank_pattern=others,
        alpha_pattern=dict(others),
    )


def _matrix(weight: nn.Parameter) -> torch.Tensor:
    return weight if weight.dim() == 2 else weight.flatten(1)
