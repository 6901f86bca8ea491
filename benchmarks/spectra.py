"""Second moments as layers of a diffusion model show them, drawn from a seed.

Spatial inputs: a power law around a mean direction, on features whose scales vary. All concepts
of a base share the directions and the mean up to a part of their own. Text inputs: a few dozen
tokens, most of them the same for every concept, so that the moment is of low rank.

    spatial  G = S (d(1 − μ)/tr Λ · V Λ Vᵀ + μ d m mᵀ/‖m‖²) S       V = B·R,  Λ = j^(−a)
    text     G = X Xᵀ/T,   X = S (m + B Λ^½ z), one column per token

B (d, d) orthogonal, S feature scales, a, μ: of the base and the input. R rotations inside groups of
directions, part of m, of Λ and of the tokens: the concept's own. Legend: d width, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import gcd

import torch
from mos_protocol.layer_map import Block, LayerInput, Part
from random_base import seeded
from torch import Tensor

TEXT_TOKENS = 48
_SHARED_TOKENS = 30
_GROUP = 32
# A direction of the base keeps about nine tenths of its length in the concept's own.
_ANGLE = 0.45
_OWN_SCALE = 0.3


class BlockMoments(Mapping[str, Tensor]):
    """A block's moments of one concept, input → (d, d) fp64, each made when it is asked for."""

    def __init__(self, block: Block, seed: int, concept: int) -> None:
        self._seed, self._concept = seed, concept
        self._inputs = {item.name: item for item in block.inputs}
        text = {layer.input for layer in block.layers if layer.part is not Part.SPATIAL}
        self._text = text - {layer.input for layer in block.layers if layer.part is Part.SPATIAL}

    def __getitem__(self, name: str) -> Tensor:
        kind = text_moment if name in self._text else spatial_moment
        return kind(self._inputs[name], self._seed, self._concept)

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)


def spatial_moment(source: LayerInput, seed: int, concept: int) -> Tensor:
    """G (d, d) fp64 of an input that sees pixels; trace of about d times the mean scale²."""
    width = source.width
    shared, own = seeded(seed, source.name), seeded(seed, source.name, concept)
    exponent, mean_share = _uniform(0.8, 1.5, shared), _uniform(0.2, 0.6, shared)
    scales = _scales(width, shared)
    mean = _normal(width, shared) + _OWN_SCALE * _normal(width, own)
    values = torch.arange(1, width + 1) ** -exponent * (_OWN_SCALE * _normal(width, own)).exp()
    values *= width * (1 - mean_share) / values.sum()
    directions = _rotated(_directions(width, seed, shared), shared, own) * values.sqrt()
    rows = torch.cat([directions, (mean * (mean_share * width) ** 0.5 / mean.norm())[:, None]], 1)
    return _gram(scales[:, None] * rows)


def text_moment(source: LayerInput, seed: int, concept: int) -> Tensor:
    """G (d, d) fp64 of an input that sees prompts: rank of at most `TEXT_TOKENS`."""
    width = source.width
    shared, own = seeded(seed, source.name), seeded(seed, source.name, concept)
    scales = _scales(width, shared)
    spread = (torch.arange(1, width + 1) ** -0.5)[:, None]
    spread *= (width / spread.square().sum()) ** 0.5
    tokens = torch.randn(width, TEXT_TOKENS, generator=shared)
    change = torch.randn(width, TEXT_TOKENS, generator=own)
    # The template's tokens shift a little with the words around them; the rest are the concept's.
    kept = torch.full((TEXT_TOKENS,), 0.1)
    kept[_SHARED_TOKENS:] = 1.0
    tokens = tokens * (1 - kept.square()).sqrt() + change * kept
    mean = 0.5 * _normal(width, shared)[:, None]
    columns = mean + _directions(width, seed, shared) @ (spread * tokens)
    return _gram(scales[:, None] * columns / TEXT_TOKENS**0.5)


@lru_cache(maxsize=8)
def _orthogonal(width: int, seed: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, generator=seeded(seed, "basis", width))).Q


def _directions(width: int, seed: int, generator: torch.Generator) -> Tensor:
    """An orthogonal (d, d) of the input's own: rows of one matrix, shuffled, with random signs.

    A factorisation per input would cost more than all the rest.
    """
    signs = torch.randint(0, 2, (width, 1), generator=generator) * 2 - 1
    return _orthogonal(width, seed)[torch.randperm(width, generator=generator)] * signs


def _rotated(basis: Tensor, shared: torch.Generator, own: torch.Generator) -> Tensor:
    """Rotate random groups of directions among themselves by small angles (Cayley's map)."""
    width = len(basis)
    size = gcd(width, _GROUP)
    order = torch.randperm(width, generator=shared)
    draws = torch.randn(width // size, size, size, generator=own) * (_ANGLE / (2 * size) ** 0.5)
    skew = (draws - draws.mT) / 2
    identity = torch.eye(size)
    turns = torch.linalg.solve(identity + skew, identity - skew)
    groups = basis[:, order].reshape(width, -1, size).transpose(0, 1)
    turned = torch.empty_like(basis)
    turned[:, order] = (groups @ turns).transpose(0, 1).reshape(width, width)
    return turned


def _scales(width: int, generator: torch.Generator) -> Tensor:
    return (0.5 * _normal(width, generator)).exp()


def _normal(width: int, generator: torch.Generator) -> Tensor:
    return torch.randn(width, generator=generator)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _gram(rows: Tensor) -> Tensor:
    """rows·rowsᵀ in fp32, as a recorder sums it, symmetric in fp64."""
    product = (rows @ rows.T).double()
    return (product + product.T) / 2
