"""The methods that concepts are tuned by: what each learns, and how prompts name its concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mos_protocol.parts import Part

__all__ = [
    "LAYER_PARTS",
    "METHODS",
    "AnyMethod",
    "Layers",
    "Method",
    "TuningMethod",
    "adapted_parts",
    "trigger_of",
]

Method = Literal["ed-lora", "lora", "p-plus", "custom-diffusion"]
AnyMethod = Literal[Method, "imported"]
Layers = Literal["all", "cross", "keys-values", "none"]
"""Which attention layers change: all; the text encoder's and the keys and values of
cross-attention; those keys and values alone; none."""
LossWeighting = Literal["even", "min-snr", "debiased"]
"""How much the errors of a time step count while tuning: alike, capped, or by 1/√SNR."""

LAYER_PARTS: Mapping[Layers, frozenset[Part]] = MappingProxyType(
    {
        "all": frozenset(Part),
        "cross": frozenset({Part.TEXT_ENCODER, Part.CROSS_KV}),
        "keys-values": frozenset({Part.CROSS_KV}),
        "none": frozenset(),
    }
)


@dataclass(frozen=True)
class TuningMethod:
    """What one method learns of a concept.

    `layer_wise`: a word has an embedding per cross-attention layer, else one for all of them.
    `modifier`: the word starts at random and stands before the plain class word in prompts.
    `layers`: the choices of layers that change, the first by default. `full_rank`: they change
    without a bound on the rank. `recording`: what moments are recorded on by default.
    """

    name: Method
    one_word: bool = False
    layer_wise: bool = True
    modifier: bool = False
    layers: tuple[Layers, ...] = ("all", "cross", "keys-values")
    full_rank: bool = False
    recording: Literal["data", "paper"] = "data"

    @property
    def low_rank(self) -> bool:
        """Whether it learns LoRA, of a rank to choose."""
        return not self.full_rank and self.layers != ("none",)


METHODS: Mapping[str, TuningMethod] = MappingProxyType(
    {
        method.name: method
        for method in (
            TuningMethod("ed-lora"),
            TuningMethod("lora", one_word=True, layer_wise=False),
            TuningMethod("p-plus", one_word=True, layers=("none",)),
            TuningMethod(
                "custom-diffusion",
                one_word=True,
                layer_wise=False,
                modifier=True,
                layers=("keys-values",),
                full_rank=True,
                # Its fusion holds the recorded rows as constraints: few of them, or none fits.
                recording="paper",
            ),
        )
    }
)


def trigger_of(method: str, words: Sequence[str], class_word: str) -> str:
    """How a prompt names a concept: `<potter1> <potter2>`; after a modifier, its class word too."""
    known = METHODS.get(method)
    return " ".join([*words, class_word] if known and known.modifier else words)


def adapted_parts(method: str) -> frozenset[Part]:
    """The parts whose layers a concept of this method may change."""
    known = METHODS.get(method)
    if known is None:
        return LAYER_PARTS["all"]
    return frozenset().union(*(LAYER_PARTS[layers] for layers in known.layers))
