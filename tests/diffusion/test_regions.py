"""Regional attention against the plain formulas, pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from mos_diffusion.attention import LayerSlice
from mos_diffusion.prompts import layerwise
from mos_diffusion.region_grid import RegionGrid
from mos_diffusion.regions import attend_to_regions

BOXES = [(0, 0, 16, 32), (8, 8, 32, 24)]
WEIGHTS = [1.0, 3.0]
CROSS = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
OWN = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"


@pytest.fixture
def grid() -> RegionGrid:
    return RegionGrid(torch.zeros(2, 32, 32, dtype=torch.bool), BOXES, WEIGHTS, 4)


def plain_attention(attn, query: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Of one pixel (c) and what it sees (n, d): the textbook formula, head by head."""
    q, k, v = attn.to_q(query), attn.to_k(states), attn.to_v(states)
    heads = [
        torch.softmax(keys @ own / math.sqrt(len(own)), 0) @ values
        for own, keys, values in zip(
            q.chunk(attn.heads), k.chunk(attn.heads, 1), v.chunk(attn.heads, 1), strict=True
        )
    ]
    return attn.to_out[0](torch.cat(heads))


@torch.no_grad()
def test_cross_attention_is_the_weighted_sum_of_each_prompts_own(base, grid):
    prompts = layerwise(base)
    texts = ["a cat and a dog", "a cat", "a dog"]
    states = torch.cat(list(prompts.encode(texts))).unflatten(0, (3, 16, 32))
    attn = base.unet.get_submodule(CROSS)
    hidden = torch.randn(2, 64, attn.to_q.in_features)
    with attend_to_regions(base.unet, grid):
        found = attn(hidden, encoder_hidden_states=states.flatten(0, 2).expand(2, -1, -1))
    shares = grid.shares(64, hidden.device)
    for pixel in (0, 18, 19, 28, 63):
        expected = sum(
            share * plain_attention(attn, hidden[1, pixel], states[prompt, 0])
            for prompt, share in enumerate(shares[:, pixel])
        )
        torch.testing.assert_close(found[1, pixel], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_self_attention_apart_sees_own_regions_and_the_background(base, grid):
    layerwise(base)
    attn = base.unet.get_submodule(OWN)
    hidden = torch.randn(1, 64, attn.to_q.in_features)
    with attend_to_regions(base.unet, grid, apart=True) as regions:
        found = attn(hidden)
        regions.apart = False
        free = attn(hidden)
    assert torch.equal(free, attn(hidden))
    inside = grid.inside(64)
    for pixel in (0, 18, 29, 63):
        own = inside[:, pixel]
        seen = (inside & own[:, None]).any(0) | ~inside.any(0) if own.any() else inside[0] | True
        expected = plain_attention(attn, hidden[0, pixel], hidden[0, seen])
        torch.testing.assert_close(found[0, pixel], expected, rtol=1e-4, atol=1e-5)


def fail_amid_regions(unet, grid: RegionGrid) -> None:
    with attend_to_regions(unet, grid, apart=True):
        assert not any(isinstance(p, LayerSlice) for p in unet.attn_processors.values())
        raise KeyboardInterrupt


def test_processors_come_back_even_after_an_error(base, grid):
    layerwise(base)
    before = dict(base.unet.attn_processors)
    with pytest.raises(KeyboardInterrupt):
        fail_amid_regions(base.unet, grid)
    assert base.unet.attn_processors == before
