"""Regional attention: every region of a picture has keys and values of its own.

The states of the context and of R regions, each (B, L·T, d), travel side by side through a stock
pipeline, as (B, (1 + R)·L·T, d). In cross-attention a pixel gets, for the context c and regions r,

    out = s_c · attention(q, K_c, V_c) + Σ_r s_r · attention(q, K_r, V_r)

with the shares s of `RegionGrid`, which add up to 1: outside of regions that is the context alone,
inside of one the region alone. Output layers are linear, so the sum may come after them.
Legend: B batch, R regions, L cross-attention layers, T tokens per prompt, d width, S pixels,
c channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mos_diffusion.attention import LayerSlice
from mos_diffusion.base_model import cross_attention_paths
from mos_diffusion.region_grid import RegionGrid


class RegionAttention:
    """An attention processor in the place of a `LayerSlice`, for states of several prompts."""

    def __init__(self, slice_: LayerSlice, grid: RegionGrid) -> None:
        self.slice = slice_
        self.grid = grid

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """(B, S, c) and states (B, (1 + R)·L·T, d) → (B, S, c)."""
        shares = self.grid.shares(hidden_states.shape[1], hidden_states.device)
        prompts, layers = len(shares), self.slice.layers
        batch, _, width = encoder_hidden_states.shape
        states = encoder_hidden_states.reshape(batch, prompts, layers, -1, width)
        found = self.slice.inner(
            attn,
            hidden_states.repeat_interleave(prompts, 0),
            encoder_hidden_states=states[:, :, self.slice.layer].flatten(0, 1),
            attention_mask=attention_mask,
            **kwargs,
        ).unflatten(0, (-1, prompts))
        result: torch.Tensor = (found * shares[:, :, None].to(found.dtype)).sum(1)
        return result


class ApartAttention:
    """A self-attention processor that hides the pixels of a region from those of others."""

    def __init__(self, inner: Any, regions: ActiveRegions) -> None:
        self.inner = inner
        self.regions = regions

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """(B, S, c) → (B, S, c). Pixels that see the same are computed together, without masks."""
        if not self.regions.apart:
            result: torch.Tensor = self.inner(
                attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs
            )
            return result
        result = torch.empty_like(hidden_states)
        grid, device = self.regions.grid, hidden_states.device
        for pixels, seen in grid.groups(hidden_states.shape[1], device):
            result[:, pixels] = self.inner(
                attn,
                hidden_states[:, pixels],
                encoder_hidden_states=hidden_states[:, seen],
                **kwargs,
            )
        return result


class ActiveRegions:
    """The regions that a UNet attends to now; `apart` says whether self-attention keeps to them."""

    def __init__(self, grid: RegionGrid, apart: bool) -> None:
        self.grid = grid
        self.apart = apart


@contextmanager
def attend_to_regions(
    unet: nn.Module, grid: RegionGrid, apart: bool = False
) -> Iterator[ActiveRegions]:
    """Let a UNet with layer slices attend to regions; its processors come back at the end.

    `apart`: restrict self-attention, until the result's `apart` is set to False.
    """
    regions = ActiveRegions(grid, apart)
    processors: list[tuple[Any, Any]] = []
    try:
        for path in cross_attention_paths(unet) if grid.boxes else ():
            attn: Any = unet.get_submodule(path)
            processors.append((attn, attn.processor))
            attn.set_processor(RegionAttention(attn.processor, grid))
            if apart:
                own: Any = unet.get_submodule(f"{path.removesuffix('attn2')}attn1")
                processors.append((own, own.processor))
                own.set_processor(ApartAttention(own.processor, regions))
        yield regions
    finally:
        for attn, processor in processors:
            attn.set_processor(processor)
