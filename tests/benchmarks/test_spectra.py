"""The drawn moments: valid, of the asked spectrum, partly shared between concepts."""

from __future__ import annotations

import pytest
import torch
from mos_protocol.layer_map import Block, LayerInput, Linear, Part
from spectra import TEXT_TOKENS, BlockMoments, spatial_moment, text_moment

SOURCE = LayerInput(name="unet.a.in", width=128)


@pytest.mark.parametrize("kind", [spatial_moment, text_moment])
def test_moments_are_symmetric_and_positive_but_for_rounding(kind):
    moment = kind(SOURCE, 0, 0)
    values = torch.linalg.eigvalsh(moment)
    assert torch.equal(moment, moment.T)
    assert values[0] > -1e-6 * values[-1]


def test_text_moments_are_of_the_rank_of_their_tokens():
    values = torch.linalg.eigvalsh(text_moment(SOURCE, 0, 0))
    assert int((values > 1e-6 * values[-1]).sum()) == TEXT_TOKENS


def test_spatial_moments_fall_as_a_power_law_behind_their_mean():
    values = torch.linalg.eigvalsh(spatial_moment(SOURCE, 0, 0)).flip(0)
    places = torch.arange(2, 65, dtype=torch.float64).log()
    spread = torch.corrcoef(torch.stack([places, values[1:64].log()]))[0, 1]
    assert values[0] > 3 * values[1]
    assert spread < -0.98


@pytest.mark.parametrize("kind", [spatial_moment, text_moment])
def test_concepts_share_a_part_of_an_input_and_inputs_nothing(kind):
    first, second = kind(SOURCE, 0, 0), kind(SOURCE, 0, 1)
    elsewhere = kind(LayerInput(name="unet.b.in", width=128), 0, 0)
    assert 0.6 < _similarity(first, second) < 0.98
    assert _similarity(first, elsewhere) < 0.6


def test_a_block_s_moments_are_text_where_only_text_is_read():
    context = LayerInput(name="unet.a.context", width=128)
    parts = {SOURCE.name: Part.SPATIAL, context.name: Part.CROSS_KV}
    layers = tuple(
        Linear(name=f"{source}.to", input=source, part=part, d_in=128, d_out=8)
        for source, part in parts.items()
    )
    moments = BlockMoments(Block(name="unet.a", inputs=(SOURCE, context), layers=layers), 0, 0)
    assert list(moments) == [SOURCE.name, context.name]
    assert torch.equal(moments[SOURCE.name], spatial_moment(SOURCE, 0, 0))
    assert torch.equal(moments[context.name], text_moment(context, 0, 0))


def _similarity(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first * second).sum() / first.norm() / second.norm())
