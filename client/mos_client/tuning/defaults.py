"""What each method is tuned with unless told otherwise: the settings of the Mix-of-Show paper.

But for ED-LoRA's layers, rank and prior penalty, which are what keeps most in a fusion
(docs/evaluation.md); `PUBLISHED` has the paper's.
Custom Diffusion's are its own paper's: 8e-5 is 1e-5 for each of the 4 pictures of the concept and
the 4 of its class that a step sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mos_protocol.methods import Layers, Method


@dataclass(frozen=True)
class LearningRates:
    """Peak learning rates of the three parameter groups; each falls linearly to 0."""

    embedding: float = 1e-3
    text_encoder: float = 1e-5
    unet: float = 1e-4


@dataclass(frozen=True)
class MethodDefaults:
    """The settings in which methods differ; the fields are those of `TuningSettings`."""

    rank: int = 4
    layers: Layers = "all"
    steps: int | None = None
    learning_rates: LearningRates = LearningRates()
    noise_offset: float = 0.01
    embedding_norm_stop: float | None = 0.55
    flip: bool = False
    zoom: bool = False
    regularisation_images: int = 0


DEFAULTS: Mapping[Method, MethodDefaults] = MappingProxyType(
    {
        "ed-lora": MethodDefaults(rank=16, layers="keys-values"),
        "lora": MethodDefaults(learning_rates=LearningRates(embedding=5e-4), noise_offset=0.0),
        "p-plus": MethodDefaults(
            rank=0,
            layers="none",
            steps=500,
            learning_rates=LearningRates(embedding=1e-3, text_encoder=0.0, unet=0.0),
            noise_offset=0.0,
            embedding_norm_stop=None,
        ),
        "custom-diffusion": MethodDefaults(
            rank=0,
            layers="keys-values",
            steps=250,
            learning_rates=LearningRates(embedding=8e-5, text_encoder=0.0, unet=8e-5),
            noise_offset=0.0,
            embedding_norm_stop=None,
            flip=True,
            zoom=True,
            regularisation_images=200,
        ),
    }
)
PUBLISHED: Mapping[Method, MethodDefaults] = MappingProxyType(
    {**DEFAULTS, "ed-lora": MethodDefaults()}
)
PRIOR_PENALTY = 0.5
"""Of ED-LoRA, where the base's prior is at hand."""


def default_prior_penalty(method: Method, *, at_hand: bool) -> float:
    """The weight of the prior penalty unless one is asked for; baselines are tuned as published."""
    return PRIOR_PENALTY if at_hand and method == "ed-lora" else 0.0
