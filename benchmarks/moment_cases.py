"""Second moments of every kind that a coding has to stand: what models show, and worse.

A case gives G (d, d) fp64 of one concept out of several, which share most of their directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from mos_diffusion.base_model import BaseModel, load_base
from mos_diffusion.moments import Moments
from mos_diffusion.prompts import layerwise
from mos_diffusion.recording import record_data
from mos_diffusion.sampling import sample_latents
from mos_protocol.layer_map import LayerInput
from random_base import seeded
from spectra import spatial_moment, text_moment
from torch import Tensor

Case = Callable[[int, int], Tensor]
"""Width, number of the concept → G (d, d) fp64."""

TINYWORLD = Path(__file__).resolve().parents[1] / "examples/tinyworld/model"
_CAPTIONS = (
    ("a red circle on a blue background", "a big red circle"),
    ("a green square on the left", "two green squares on grass"),
)
_SHARED = 0.8


def power_law(
    width: int, concept: int, *, exponent: float, mean: float, share: float = 1.0
) -> Tensor:
    """Eigenvalues j^-exponent up to a `share` of the width, and a share `mean` of one direction."""
    shared, own = seeded(0, "case", width), seeded(0, "case", width, concept)
    directions = torch.linalg.qr(torch.randn(width, width, generator=shared).double()).Q
    turn = _SHARED * torch.eye(width).double()
    turn += (1 - _SHARED) / width**0.5 * torch.randn(width, width, generator=own)
    values = torch.arange(1, width + 1).double() ** -exponent
    values[round(share * width) :] = 0
    columns = directions @ torch.linalg.qr(turn).Q * (values / values.sum()).sqrt()
    centre = torch.randn(width, generator=shared) + 0.2 * torch.randn(width, generator=own)
    centre = (centre / centre.norm()).double()
    scales = (0.5 * torch.randn(width, generator=seeded(0, "scales", width))).exp().double()
    gram = (1 - mean) * columns @ columns.T + mean * torch.outer(centre, centre)
    return width * scales[:, None] * gram * scales


def outliers(width: int, concept: int) -> Tensor:
    """A few features up to a hundred times as large as the others."""
    scales = torch.ones(width).double()
    scales[:4] = torch.tensor([60.0, 40.0, 30.0, 100.0])
    return scales[:, None] * power_law(width, concept, exponent=1.0, mean=0.3) * scales


def few_tokens(width: int, concept: int) -> Tensor:
    """The moment of 20 tokens."""
    return power_law(width, concept, exponent=1.0, mean=0.3, share=20 / width)


def pixels(width: int, concept: int) -> Tensor:
    """As the packages of the other benchmarks have it for spatial layers."""
    return spatial_moment(LayerInput(name=f"unet.w{width}.in", width=width), 0, concept)


def prompts(width: int, concept: int) -> Tensor:
    """As the packages of the other benchmarks have it for text layers."""
    return text_moment(LayerInput(name=f"text.w{width}.in", width=width), 0, concept)


CASES: dict[str, Case] = {
    "pixels": pixels,
    "prompts": prompts,
    "flat": partial(power_law, exponent=0.5, mean=0.1),
    "power law": partial(power_law, exponent=1.0, mean=0.3),
    "steep": partial(power_law, exponent=2.0, mean=0.8),
    "mean direction": partial(power_law, exponent=1.0, mean=0.95),
    "20 tokens": few_tokens,
    "half the rank": partial(power_law, exponent=1.0, mean=0.3, share=0.48),
    "outlier features": outliers,
}


def tinyworld_moments(model: Path = TINYWORLD) -> Sequence[Moments]:
    """Real moments of two sets of pictures that a small trained model samples and then sees."""
    base = load_base(model)
    return [_recorded(base, captions, seed) for seed, captions in enumerate(_CAPTIONS)]


def _recorded(base: BaseModel, captions: Sequence[str], seed: int) -> Moments:
    latents = [
        sample_latents(base, text, seeds=[seed], steps=4, guidance=3.0, negative_prompt="")
        for text in captions
    ]
    return record_data(base, layerwise(base), torch.cat(latents), captions, passes=2, seed=seed)
