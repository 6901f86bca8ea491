"""The layers of a model that concepts may change, how they are named, and who shares an input.

Layers are called `text_encoder.<path>` and `unet.<path>` by their paths in the models, without
the `text_model.` level that transformers before version 5 had and without anything that an
attached adapter adds, so that every machine has the same names for the same weights. Only shapes
are read: modules on the meta device, without weights, do as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers import Transformer2DModel
from mos_protocol.layer_map import Block, LayerInput, Linear, Part, TextEncoder
from torch import nn


def attention_blocks(text_encoders: dict[str, nn.Module], unet: nn.Module) -> tuple[Block, ...]:
    """Per text encoder and per UNet block with attention its attention layers, as they run."""
    found = [
        _block(name, _self_attention(name, encoder)) for name, encoder in text_encoders.items()
    ]
    for prefix in _unet_block_paths(unet):
        layers = tuple(_attention_layers(unet, prefix))
        if layers:
            found.append(_block(f"unet.{prefix}", layers))
    return tuple(found)


def feed_forward_blocks(text_encoders: dict[str, nn.Module], unet: nn.Module) -> tuple[Block, ...]:
    """The layers around attention: feed-forward, and the projections in and out of a transformer.

    They belong to blocks of their own, `text_encoder.mlp` and `unet.<block>.feed_forward`.
    """
    found = [_block(f"{name}.mlp", _mlp(name, encoder)) for name, encoder in text_encoders.items()]
    for prefix in _unet_block_paths(unet):
        layers = tuple(_feed_forward_layers(unet, prefix))
        if layers:
            found.append(_block(f"unet.{prefix}.feed_forward", layers))
    return tuple(found)


def describe_text_encoder(name: str, text_encoder: Any) -> TextEncoder:
    """What the layer map says of a text encoder."""
    table = token_table(text_encoder)
    return TextEncoder(
        name=name,
        width=table.embedding_dim,
        tokens=text_encoder.config.max_position_embeddings,
        vocabulary=table.num_embeddings,
    )


def cross_attention_paths(unet: nn.Module) -> list[str]:
    """Paths of the cross-attention modules in order of execution: down, mid, up."""
    return [
        path
        for prefix in _unet_block_paths(unet)
        for path in _attention_paths(unet, prefix)
        if path.endswith(".attn2")
    ]


def bare_linear(module: Any) -> nn.Linear | nn.Conv2d:
    """The base's own linear layer or 1x1 convolution, whether or not adapters are around it."""
    linear = module.get_base_layer() if hasattr(module, "get_base_layer") else module
    if isinstance(linear, nn.Conv2d) and linear.kernel_size == (1, 1):
        return linear
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"expected a linear layer, found {type(linear).__name__}")
    return linear


def input_rows(module: nn.Module, values: torch.Tensor) -> torch.Tensor:
    """What a layer reads, as rows: (…, d) of a linear layer, (B, d, H, W) of a convolution →
    (…, d).
    """
    return values.movedim(1, -1) if isinstance(bare_linear(module), nn.Conv2d) else values


def token_table(text_encoder: nn.Module) -> nn.Embedding:
    """The base's own token table, whether or not concepts have rows beside it."""
    table = text_encoder.get_input_embeddings()  # type: ignore[operator]
    while not isinstance(table, nn.Embedding):
        table = table.inner
    return table


def weight_name(path: str) -> str:
    """A parameter's path in its model or file, without what wrappers and older versions add."""
    steps = path.removeprefix("text_model.").split(".")
    return ".".join(step for step in steps if step not in ("base_layer", "inner"))


def _self_attention(name: str, text_encoder: nn.Module) -> tuple[Linear, ...]:
    layers = []
    for path in _paths(text_encoder, ".self_attn"):
        place = f"{name}.{weight_name(path)}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            source = f"{place}.{'out' if projection == 'out_proj' else 'in'}"
            module = text_encoder.get_submodule(f"{path}.{projection}")
            layers.append(_linear(f"{place}.{projection}", source, Part.TEXT_ENCODER, module))
    return tuple(layers)


def _mlp(name: str, text_encoder: nn.Module) -> tuple[Linear, ...]:
    layers = []
    for path in _paths(text_encoder, ".mlp"):
        place = f"{name}.{weight_name(path)}"
        for projection, side in (("fc1", "in"), ("fc2", "out")):
            module = text_encoder.get_submodule(f"{path}.{projection}")
            layers.append(
                _linear(f"{place}.{projection}", f"{place}.{side}", Part.TEXT_ENCODER, module)
            )
    return tuple(layers)


def _attention_layers(unet: nn.Module, prefix: str) -> Iterator[Linear]:
    for path in _attention_paths(unet, prefix):
        name = f"unet.{path}"
        crossed = path.endswith(".attn2")
        for projection in ("to_q", "to_k", "to_v", "to_out.0"):
            part, source = Part.SPATIAL, "in"
            if projection == "to_out.0":
                source = "out"
            elif crossed and projection != "to_q":
                part, source = Part.CROSS_KV, "context"
            module = unet.get_submodule(f"{path}.{projection}")
            yield _linear(f"{name}.{projection}", f"{name}.{source}", part, module)


def _feed_forward_layers(unet: nn.Module, prefix: str) -> Iterator[Linear]:
    for path, transformer in unet.get_submodule(prefix).named_modules():
        if not isinstance(transformer, Transformer2DModel):
            continue
        name = f"unet.{prefix}.{path}"
        places = [("proj_in", "in")]
        for feed_forward in _paths(transformer, ".ff"):
            places.append((f"{feed_forward}.net.0.proj", f"{feed_forward}.in"))
            places.append((f"{feed_forward}.net.2", f"{feed_forward}.out"))
        for layer, source in [*places, ("proj_out", "out")]:
            module = transformer.get_submodule(layer)
            yield _linear(f"{name}.{layer}", f"{name}.{source}", Part.SPATIAL, module)


def _unet_block_paths(unet: nn.Module) -> list[str]:
    down = [f"down_blocks.{i}" for i in range(len(unet.down_blocks))]  # type: ignore[arg-type]
    up = [f"up_blocks.{i}" for i in range(len(unet.up_blocks))]  # type: ignore[arg-type]
    return [*down, "mid_block", *up]


def _attention_paths(unet: nn.Module, prefix: str) -> list[str]:
    """Paths of the attention modules of transformer blocks below `prefix`."""
    block = unet.get_submodule(prefix)
    return [f"{prefix}.{name}" for name in _paths(block, ".attn1", ".attn2")]


def _paths(module: nn.Module, *endings: str) -> list[str]:
    return [path for path, _ in module.named_modules() if path.endswith(endings)]


def _linear(name: str, source: str, part: Part, module: nn.Module) -> Linear:
    d_out, d_in = bare_linear(module).weight.shape[:2]
    return Linear(name=name, input=source, part=part, d_in=d_in, d_out=d_out)


def _block(name: str, layers: tuple[Linear, ...]) -> Block:
    widths = {layer.input: layer.d_in for layer in layers}
    inputs = tuple(LayerInput(name=source, width=width) for source, width in widths.items())
    return Block(name=name, inputs=inputs, layers=layers)
