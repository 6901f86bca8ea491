"""What the LoRA exports have in common: factors out of the delta, under another tool's names.

A LoRA changes the base's weights; words travel beside it, because diffusers refuses a LoRA file
that has embeddings in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from mos_protocol.errors import InvalidRequest
from torch import Tensor

from mos_diffusion.adapters import LoraFactors
from mos_diffusion.formats.factors import balanced, padded
from mos_diffusion.formats.model_spec import HASH_KEY
from mos_diffusion.formats.published import DELTA_FILE, PublishedModel
from mos_diffusion.tensor_file import Spec, StoredTensors, open_tensors, write_tensors


class LoraKeys(NamedTuple):
    """The keys of one layer in a LoRA file; without an alpha, the scale is one."""

    down: str
    up: str
    alpha: str | None = None


@dataclass(frozen=True)
class Delta:
    """The published delta: ranks now, factors when they are asked for."""

    stored: StoredTensors
    ranks: Mapping[str, int]

    def factors(self, layer: str) -> LoraFactors:
        """down (R, d_in), up (d_out, R) fp32 of a layer."""
        return LoraFactors(self.stored[f"{layer}.down"], self.stored[f"{layer}.up"])


@contextmanager
def open_delta(model: PublishedModel) -> Iterator[Delta]:
    """The model's delta; raise `InvalidRequest` when it changes nothing."""
    with open_tensors(model.folder / DELTA_FILE) as stored:
        downs = [name for name in stored if name.endswith(".down")]
        ranks = {name.removesuffix(".down"): stored.spec(name).shape[0] for name in downs}
        ranks = {layer: rank for layer, rank in ranks.items() if rank}
        if not ranks:
            raise InvalidRequest(
                f"{model.folder} changes no layer of its base: there is no LoRA to write.",
                hint="Its words are all there is; they are in concepts.safetensors.",
            )
        yield Delta(stored, ranks)


def write_lora(
    model: PublishedModel,
    path: Path,
    dtype: torch.dtype,
    names: Callable[[str], LoraKeys],
    metadata: Mapping[str, str],
) -> None:
    """Write the delta under the keys that `names` gives each layer, one tensor at a time.

    Zeros make the ranks of a component equal: diffusers loses track of which layer has which
    alpha (and, before it mirrored ranks into alphas, which rank) when they differ.
    """
    convolutions = _convolutions(model)
    with open_delta(model) as delta:
        ranks = common_ranks(delta)

        def made(layer: str) -> dict[str, Tensor]:
            factors = padded(balanced(delta.factors(layer)), ranks[component_of(layer)])
            down, up = (half.to(dtype) for half in factors)
            if layer in convolutions:
                down, up = down[:, :, None, None], up[:, :, None, None]
            keys = names(layer)
            tensors = {keys.down: down, keys.up: up}
            if keys.alpha is not None:
                tensors[keys.alpha] = torch.tensor(float(len(down)))
            return tensors

        owners = {key: layer for layer in delta.ranks for key in names(layer) if key is not None}
        specs = {
            key: Spec(value.dtype, tuple(value.shape))
            for layer in delta.ranks
            for key, value in made(layer).items()
        }
        write_tensors(path, specs, lambda key: made(owners[key])[key], metadata, HASH_KEY)


def common_ranks(delta: Delta) -> dict[str, int]:
    """The largest rank of each component's layers."""
    ranks: dict[str, int] = defaultdict(int)
    for layer, rank in delta.ranks.items():
        ranks[component_of(layer)] = max(rank, ranks[component_of(layer)])
    return ranks


def component_of(layer: str) -> str:
    """`unet` or the text encoder that a layer belongs to."""
    return layer.partition(".")[0]


def _convolutions(model: PublishedModel) -> frozenset[str]:
    """The UNet's layers that are convolutions."""
    with open_tensors(*model.weights("unet")) as stored:
        return frozenset(
            f"unet.{name.removesuffix('.weight')}"
            for name in stored
            if len(stored.spec(name).shape) == 4
        )
