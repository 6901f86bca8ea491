"""The settings of one protection: validated where they are made, never changed afterwards."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from mos_protocol.errors import InvalidRequest

from mos_client.tuning import LearningRates

Surrogate = Literal["ed-lora", "unet"]
WORDS = ("<protected-photo1>", "<protected-photo2>")
"""What the surrogate calls the pictures' subject."""


@dataclass(frozen=True, kw_only=True)
class ProtectionSettings:
    """How pictures are perturbed against being learned.

    `budget` is the most that any channel of any pixel changes, in steps of 1/255. Each of `rounds`
    takes `learn_steps` optimiser steps of the surrogate on the originals, `perturb_steps` of the
    pictures against it, and `learn_steps` on the perturbed pictures.
    `longest_side=None` writes pictures of at most twice the base's size, `resolution=None` is that
    size, `device=None` the GPU if any. Raises `InvalidRequest`.
    """

    base: str
    class_word: str = "person"
    budget: int = 8
    rounds: int = 50
    learn_steps: int = 3
    perturb_steps: int = 6
    surrogate: Surrogate = "ed-lora"
    rank: int = 4
    learning_rates: LearningRates = field(default_factory=LearningRates)
    batch_size: int = 4
    resolution: int | None = None
    longest_side: int | None = None
    seed: int = 0
    gradient_checkpointing: bool = False
    device: str | None = None
    save_every: int = 5

    def __post_init__(self) -> None:
        if not self.base:
            raise InvalidRequest("No base model was given.", hint="Name a folder or a hub id.")
        if not re.fullmatch(r"[a-z]{1,40}", self.class_word):
            raise InvalidRequest(
                f"The class word {self.class_word!r} is not one lower-case word.",
                hint='Give the kind of thing the photos show, for example "person" or "cat".',
            )
        if self.surrogate not in get_args(Surrogate):
            raise InvalidRequest(
                f"surrogate is {self.surrogate!r}.",
                hint=f"Choose one of {', '.join(get_args(Surrogate))}.",
            )
        for setting, low, high in _WHOLE_NUMBERS:
            value = getattr(self, setting)
            if value is not None and not low <= value <= high:
                raise InvalidRequest(
                    f"{setting} is {value}.", hint=f"It must be from {low} to {high}."
                )
        rates = {f"learning rate {f.name}": getattr(self.learning_rates, f.name) for f in _RATES}
        for setting, value in rates.items():
            if not (math.isfinite(value) and value >= 0):
                raise InvalidRequest(f"{setting} is {value}.", hint="It must not be negative.")

    def deciding(self) -> dict[str, object]:
        """The settings that decide the result."""
        ignored = {"base", "device", "save_every", "learning_rates"}
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ignored}
        return values | {f.name: getattr(self.learning_rates, f.name) for f in _RATES}


_RATES = fields(LearningRates)
_WHOLE_NUMBERS = (
    ("budget", 1, 32),
    ("rounds", 1, 10_000),
    ("learn_steps", 0, 1000),
    ("perturb_steps", 1, 1000),
    ("rank", 1, 256),
    ("batch_size", 1, 1024),
    ("resolution", 8, 4096),
    ("longest_side", 16, 16_384),
    ("seed", 0, 2**62),
    ("save_every", 1, 10_000),
)
