"""A concept's weights and their file, `concept.safetensors`.

Legend: W words, L cross-attention layers, d width, r rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mos_protocol.errors import InvalidPackage
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mos_diffusion.adapters import LoraFactors

FORMAT = "mos-concept/1"


@dataclass(frozen=True)
class ConceptWeights:
    """What a concept adds to a base: embeddings (W, L, d) per text encoder, factors per layer."""

    words: tuple[str, ...]
    embeddings: dict[str, torch.Tensor]
    lora: dict[str, LoraFactors]

    @property
    def rank(self) -> int:
        """The highest rank that a layer's factors have; 0 without any."""
        return max((len(factors.down) for factors in self.lora.values()), default=0)


def save_concept(weights: ConceptWeights, path: Path) -> None:
    """Write the weights as `concept.safetensors`, fp32; the same weights give the same bytes."""
    tensors = {f"{name}.embeddings": rows for name, rows in weights.embeddings.items()}
    for layer, factors in weights.lora.items():
        tensors[f"{layer}.lora.down"] = factors.down
        tensors[f"{layer}.lora.up"] = factors.up
    plain = {name: t.detach().to("cpu", torch.float32).contiguous() for name, t in tensors.items()}
    save_file(plain, path, metadata={"format": FORMAT})


def load_concept(path: Path, words: Sequence[str]) -> ConceptWeights:
    """Read `concept.safetensors` as fp32; raise `InvalidPackage` when it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            kind = (file.metadata() or {}).get("format")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InvalidPackage(path.name, f"can't be read: {error}") from error
    if kind != FORMAT:
        raise InvalidPackage(path.name, f"format {kind!r}; expected {FORMAT!r}")
    embeddings, lora = {}, {}
    for name, tensor in tensors.items():
        if name.endswith(".embeddings"):
            embeddings[name.removesuffix(".embeddings")] = tensor
        elif name.endswith(".lora.down"):
            layer = name.removesuffix(".lora.down")
            if f"{layer}.lora.up" not in tensors:
                raise InvalidPackage(path.name, f"lacks tensor {layer}.lora.up")
            lora[layer] = LoraFactors(tensor, tensors[f"{layer}.lora.up"])
    for name, rows in embeddings.items():
        if len(rows) != len(words):
            raise InvalidPackage(
                path.name, f"embeddings of {name} for {len(rows)} words; expected {len(words)}"
            )
    return ConceptWeights(tuple(words), embeddings, lora)
