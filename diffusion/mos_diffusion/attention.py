"""Cross-attention over layer-wise prompts.

The states of all L cross-attention layers travel flattened, (B, L·T, d), through stock pipelines;
the processor of layer i gives its layer the rows i·T … (i+1)·T. Nothing else changes, so the
result is bit-identical to running each layer on its own (B, T, d) states.
Legend: B batch, L cross-attention layers, T tokens per prompt, d width, S pixels, c channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mos_diffusion.base_model import cross_attention_paths


class LayerSlice:
    """An attention processor that takes its own layer's rows and leaves the rest to `inner`."""

    def __init__(self, inner: Any, layer: int, layers: int, tokens: int) -> None:
        self.inner = inner
        self.layer = layer
        self.layers = layers
        self.tokens = tokens

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """(B, S, c) and states (B, L·T, d), or (B, T, d) that every layer shares → (B, S, c)."""
        states = encoder_hidden_states
        if states is not None and states.shape[1] == self.layers * self.tokens:
            states = states[:, self.layer * self.tokens : (self.layer + 1) * self.tokens]
        result: torch.Tensor = self.inner(
            attn,
            hidden_states,
            encoder_hidden_states=states,
            attention_mask=attention_mask,
            **kwargs,
        )
        return result


def install_slices(unet: nn.Module, tokens: int) -> int:
    """Put a `LayerSlice` around every cross-attention processor once; return L."""
    paths = cross_attention_paths(unet)
    for layer, path in enumerate(paths):
        attn: Any = unet.get_submodule(path)
        if not isinstance(attn.processor, LayerSlice):
            attn.set_processor(LayerSlice(attn.processor, layer, len(paths), tokens))
    return len(paths)


def remove_slices(unet: nn.Module) -> None:
    """Restore the processors that `install_slices` found."""
    for path in cross_attention_paths(unet):
        attn: Any = unet.get_submodule(path)
        if isinstance(attn.processor, LayerSlice):
            attn.set_processor(attn.processor.inner)


def has_slices(unet: nn.Module) -> bool:
    """Whether the UNet understands flattened layer-wise states."""
    return any(
        isinstance(unet.get_submodule(path).processor, LayerSlice)
        for path in cross_attention_paths(unet)
    )
