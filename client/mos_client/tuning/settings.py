"""The settings of one tuning run: validated where they are made, never changed afterwards."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from mos_protocol.errors import InvalidRequest
from mos_protocol.methods import Layers, LossWeighting, Method, trigger_of
from mos_protocol.names import check_slug, parse_concept_name, parse_words

from mos_client.tuning.defaults import DEFAULTS, PUBLISHED, LearningRates
from mos_client.tuning.method_checks import check_method

PEOPLE = frozenset({"person", "man", "woman", "boy", "girl", "child", "baby", "lady", "guy"})
"""Class words that the steps rule counts as people: a face needs more steps than an object."""

Crop = Literal["random", "center", "pad"]
MixedPrecision = Literal["no", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """How one concept is tuned; the defaults are those of ED-LoRA in `tuning.defaults`.

    `TuningSettings.of` starts from another method's. A method that has no rank to choose has 0.
    `steps=None` follows the rule of `steps_for`, `resolution=None` the base's native size,
    `mixed_precision=None` is bf16 on a GPU and none on the CPU, `device=None` the GPU if any.
    `unmasked_weight` is what pictures count in the loss outside their subject masks.
    `embedding_norm_stop=None` never freezes the embeddings. `loss_weighting` says
    how much each time step counts (see `time_step_weights`). In the first `embedding_first` of the
    steps the embeddings are tuned alone; in every step each key and value layer's update is
    left out with the chance `kv_drop`. `regularisation_images` pictures of the class are sampled
    and learned beside the concept's, unless a folder of them is given. Raises `InvalidRequest`.
    """

    name: str
    words: tuple[str, ...]
    class_word: str
    base: str
    base_name: str | None = None
    method: Method = "ed-lora"
    rank: int = DEFAULTS["ed-lora"].rank
    layers: Layers = DEFAULTS["ed-lora"].layers
    steps: int | None = None
    batch_size: int = 4
    learning_rates: LearningRates = DEFAULTS["ed-lora"].learning_rates
    weight_decay: float = 0.01
    noise_offset: float = 0.01
    loss_weighting: LossWeighting = "even"
    unmasked_weight: float = 0.0
    embedding_norm_stop: float | None = 0.55
    prior_penalty: float = 0.0
    embedding_first: float = 0.0
    kv_drop: float = 0.0
    regularisation_images: int = 0
    resolution: int | None = None
    crop: Crop = "random"
    flip: bool = False
    zoom: bool = False
    shuffle_captions: bool = False
    extra_phrases: bool = False
    sample_latents: bool = True
    seed: int = 0
    mixed_precision: MixedPrecision | None = None
    gradient_checkpointing: bool = False
    device: str | None = None
    save_every: int = 50
    sample_every: int = 0

    @classmethod
    def of(cls, method: Method, *, as_published: bool = False, **given: Any) -> Self:
        """Settings of a method: `given` ones, else its own (or its paper's), else the usual."""
        defaults = PUBLISHED if as_published else DEFAULTS
        own = vars(defaults[method]) if method in defaults else {}
        return cls(method=method, **(own | given))

    def __post_init__(self) -> None:
        parse_concept_name(self.name)
        parse_words(" ".join(self.words))
        if not re.fullmatch(r"[a-z]{1,40}", self.class_word):
            raise InvalidRequest(
                f"The class word {self.class_word!r} is not one lower-case word.",
                hint='Give the kind of thing the concept is, for example "man", "cat" or "chair".',
            )
        if not self.base:
            raise InvalidRequest("No base model was given.", hint="Name a folder or a hub id.")
        if self.base_name is not None:
            check_slug(self.base_name, "base name")
        self._check_choices()
        self._check_numbers()
        check_method(self)

    def _check_choices(self) -> None:
        for setting, choices in _CHOICES:
            value = getattr(self, setting)
            if value is not None and value not in choices:
                raise InvalidRequest(
                    f"{setting} is {value!r}.", hint=f"Choose one of {', '.join(choices)}."
                )

    def _check_numbers(self) -> None:
        for setting in _SHARES:
            value = getattr(self, setting)
            if not 0 <= value <= 1:
                raise InvalidRequest(f"{setting} is {value}.", hint="It must be from 0 to 1.")
        for setting, low, high in _WHOLE_NUMBERS:
            value = getattr(self, setting)
            if value is not None and not low <= value <= high:
                raise InvalidRequest(
                    f"{setting} is {value}.", hint=f"It must be from {low} to {high}."
                )
        rest = {setting: getattr(self, setting) for setting in _NOT_NEGATIVE}
        for setting, value in (self._rates() | rest).items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidRequest(f"{setting} is {value}.", hint="It must not be negative.")

    @property
    def trigger(self) -> str:
        """How a prompt names the concept: `<potter1> <potter2>`."""
        return trigger_of(self.method, self.words, self.class_word)

    @property
    def base_label(self) -> str:
        """The base's name for people: as given, else made from the folder's or hub id's end."""
        return self.base_name or base_name_of(self.base)

    def steps_for(self, images: int) -> int:
        """Optimiser steps for so many images: images·500/batch, for things within 500 … 1000."""
        if self.steps is not None:
            return self.steps
        steps = max(1, round(images * 500 / self.batch_size))
        return steps if self.class_word in PEOPLE else min(1000, max(500, steps))

    def deciding(self) -> dict[str, object]:
        """The settings that decide the result, without those that only say how often to save."""
        ignored = {"save_every", "sample_every", "device", "base", "base_name", "name"}
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ignored}
        del values["learning_rates"]
        return values | self._rates()

    def _rates(self) -> dict[str, float]:
        rates = self.learning_rates
        return {f"learning_rate_{f.name}": getattr(rates, f.name) for f in fields(rates)}


def base_name_of(source: str) -> str:
    """A slug for a base's source: `runwayml/sd-v1` → `sd-v1`, `tinyworld/model` → `tinyworld`."""
    folder = Path(source)
    parts = [part for part in folder.parts if part not in {"/", ".", "..", "model"}]
    slug = re.sub(r"[^a-z0-9._-]+", "-", (parts[-1] if parts else "base").lower())
    return slug.lstrip("._-")[:63] or "base"


_CHOICES = (
    ("method", get_args(Method)),
    ("layers", get_args(Layers)),
    ("crop", get_args(Crop)),
    ("mixed_precision", get_args(MixedPrecision)),
    ("loss_weighting", get_args(LossWeighting)),
)
_WHOLE_NUMBERS = (
    ("rank", 0, 256),
    ("steps", 1, 1_000_000),
    ("batch_size", 1, 1024),
    ("regularisation_images", 0, 10_000),
    ("resolution", 8, 4096),
    ("seed", 0, 2**62),
    ("save_every", 1, 1_000_000),
    ("sample_every", 0, 1_000_000),
)
_SHARES = ("unmasked_weight", "embedding_first", "kv_drop")
_NOT_NEGATIVE = (
    "weight_decay",
    "noise_offset",
    "embedding_norm_stop",
    "prior_penalty",
)
