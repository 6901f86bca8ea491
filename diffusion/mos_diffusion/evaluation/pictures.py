"""The pictures of an evaluation, kept on disk: what was made once is not made again.

A picture is known by what decides it: the model, the text, the seed and how it was sampled. Files
are completed beside their place and renamed into it, so that a run that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mos_protocol.errors import InvalidRequest
from PIL import Image

from mos_diffusion.evaluation.subjects import Subject
from mos_diffusion.prompts import LayerwisePrompts
from mos_diffusion.provenance import Provenance, save_picture
from mos_diffusion.sampling import NEGATIVE_PROMPT, decode_latents, prepared_pipeline

SEEDS = tuple(range(1, 51))
OnPicture = Callable[[int, int], None]
Wanted = tuple[str, int]
"""A text and a seed."""


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How pictures are sampled: DPM-Solver++, `side` pixels square (None: the model's own)."""

    seeds: tuple[int, ...] = SEEDS
    steps: int = 20
    guidance: float = 7.5
    negative_prompt: str = NEGATIVE_PROMPT
    side: int | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise InvalidRequest("Seeds are missing or repeated.", hint="For example 1-50.")
        if min(self.seeds) < 0:
            raise InvalidRequest(f"{min(self.seeds)} is no seed.", hint="Seeds start at 0.")
        if self.steps < 1 or self.batch_size < 1:
            raise InvalidRequest(
                f"{self.steps} steps in batches of {self.batch_size} can't be sampled.",
                hint="Both must be at least 1.",
            )

    def side_for(self, subject: Subject) -> int:
        """Width and height in pixels; raise `InvalidRequest` when the model can't make them."""
        side, factor = self.side or subject.model.resolution, max(8, subject.model.vae_factor)
        if side % factor or side < factor:
            raise InvalidRequest(
                f"Pictures of {side} pixels can't be made.", hint=f"Use a multiple of {factor}."
            )
        return side


@dataclass(frozen=True)
class Shard:
    """Process `number` of `count`, from 0: it makes every `count`-th batch."""

    number: int = 0
    count: int = 1

    def part(self, wanted: Sequence[Wanted], batch_size: int) -> list[Wanted]:
        """Its own of all that is wanted, the same whatever has been made meanwhile."""
        return [
            item
            for index, item in enumerate(wanted)
            if index // batch_size % self.count == self.number
        ]


@dataclass(frozen=True)
class PictureCache:
    """A folder of pictures by what decides them."""

    folder: Path

    def path(self, subject: Subject, settings: SamplingSettings, text: str, seed: int) -> Path:
        """Where the picture lies, or will."""
        decides = {
            "text": text,
            "seed": seed,
            "steps": settings.steps,
            "guidance": settings.guidance,
            "negative_prompt": settings.negative_prompt,
            "side": settings.side_for(subject),
        }
        key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        return self.folder / subject.digest[:16] / f"{key[:32]}.png"

    def table(
        self, subject: Subject, settings: SamplingSettings, texts: Sequence[str]
    ) -> list[list[Path]]:
        """The paths of all pictures: a row per text, a column per seed."""
        return [
            [self.path(subject, settings, text, seed) for seed in settings.seeds] for text in texts
        ]


def sample_subject(
    subject: Subject,
    texts: Sequence[str],
    settings: SamplingSettings,
    cache: PictureCache,
    *,
    shard: Shard = Shard(),
    on_picture: OnPicture | None = None,
) -> list[list[Path]]:
    """Make the pictures that the cache lacks; returns the paths, a row per text, a column per seed.

    Texts and seeds share the batches. A seed gives the same picture in any batch, up to rounding:
    a few levels of 255 in single pixels. `on_picture(done, total)` is called before the first
    batch and after each; what it raises leaves. With a shard, only that part is made.
    """
    wanted = [(text, seed) for text in dict.fromkeys(texts) for seed in settings.seeds]
    own = shard.part(wanted, settings.batch_size)
    missing = [item for item in own if not cache.path(subject, settings, *item).is_file()]
    done = len(own) - len(missing)
    tell = on_picture or (lambda done, total: None)
    tell(done, len(own))
    if missing:
        with prepared_pipeline(subject.model) as (pipe, prompts):
            encoder = _Encoder(prompts, settings.negative_prompt)
            for start in range(0, len(missing), settings.batch_size):
                batch = missing[start : start + settings.batch_size]
                pictures = _draw(pipe, encoder, batch, settings, settings.side_for(subject))
                for item, picture in zip(batch, pictures, strict=True):
                    told = _provenance(subject, settings, *item)
                    save_picture(picture, cache.path(subject, settings, *item), told)
                done += len(batch)
                tell(done, len(own))
    return cache.table(subject, settings, texts)


def _provenance(subject: Subject, settings: SamplingSettings, text: str, seed: int) -> Provenance:
    return Provenance.of(subject.model.published).model_copy(
        update={
            "prompt": text,
            "negative_prompt": settings.negative_prompt,
            "seeds": (seed,),
            "steps": settings.steps,
            "guidance": settings.guidance,
        }
    )


class _Encoder:
    """States of texts, each encoded once while batches need it."""

    def __init__(self, prompts: LayerwisePrompts, negative_prompt: str) -> None:
        self._prompts = prompts
        self._negative_prompt = negative_prompt
        self._negative: torch.Tensor | None = None
        self._known: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Arguments for the pipeline; batches come text by text, so older texts are forgotten."""
        if self._negative is None:
            self._negative = self._prompts.encode(self._negative_prompt)
        self._known = {
            text: self._known[text] if text in self._known else self._prompts.encode(text)
            for text in dict.fromkeys(texts)
        }
        return {
            "prompt_embeds": torch.cat([self._known[text] for text in texts]),
            "negative_prompt_embeds": self._negative.expand(len(texts), -1, -1),
        }


def _draw(
    pipe: Any, encoder: _Encoder, batch: Sequence[Wanted], settings: SamplingSettings, side: int
) -> list[Image.Image]:
    latents: torch.Tensor = pipe(
        **encoder([text for text, _ in batch]),
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        height=side,
        width=side,
        generator=[torch.Generator().manual_seed(seed) for _, seed in batch],
        output_type="latent",
    ).images
    return decode_latents(pipe, latents)
