"""One concept in one model: sample its prompts, and score the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mos_diffusion.base_model import BaseModel
from mos_diffusion.evaluation.identity import held_out_loss
from mos_diffusion.evaluation.pictures import (
    OnPicture,
    PictureCache,
    SamplingSettings,
    sample_subject,
)
from mos_diffusion.evaluation.prompts import PLACEHOLDER, PromptSet
from mos_diffusion.evaluation.scores import Judge, References, Scores
from mos_diffusion.evaluation.subjects import Subject
from mos_diffusion.prompts import layerwise

SINGLE = "single"
"""The label of a concept's own model; fused models have labels of their own."""


@dataclass(frozen=True)
class ConceptCase:
    """A concept to evaluate: how prompts name it, its prompts, the pictures it was tuned on."""

    name: str
    trigger: str
    class_word: str
    prompts: PromptSet
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ConceptResult:
    """What was measured of a concept: by the class word on the base, and per model by its label.

    `losses` are held-out denoising losses by label, and of the class word on the base.
    """

    case: ConceptCase
    bounds: Scores | None
    models: Mapping[str, Scores]
    losses: Mapping[str, float] = field(default_factory=dict)


def evaluate(
    judge: Judge,
    cache: PictureCache,
    settings: SamplingSettings,
    case: ConceptCase,
    subject: Subject,
    *,
    named: str | None = None,
    references: References | None = None,
    on_picture: OnPicture | None = None,
) -> Scores:
    """Sample the concept's prompts, unless the cache has the pictures, and score them.

    `named` stands in the prompts for the concept (None: its trigger). Without `references` its
    pictures are embedded; of a concept without any, only text-alignment is measured.
    """
    texts = case.prompts.texts(named or case.trigger)
    pictures = sample_subject(subject, texts, settings, cache, on_picture=on_picture)
    if references is None and case.pictures:
        references = judge.references(case.pictures)
    return judge.scores(pictures, case.prompts, case.class_word, settings.seeds, references)


def bounds(
    judge: Judge,
    cache: PictureCache,
    settings: SamplingSettings,
    case: ConceptCase,
    base: Subject,
    *,
    references: References | None = None,
    on_picture: OnPicture | None = None,
) -> Scores:
    """The base with the class word: text-alignment's upper, image-alignment's lower bound."""
    return evaluate(
        judge,
        cache,
        settings,
        case,
        base,
        named=case.class_word,
        references=references,
        on_picture=on_picture,
    )


def caption_loss(
    model: BaseModel,
    latents: torch.Tensor,
    captions: Sequence[str],
    name: str,
    *,
    seed: int = 0,
) -> float:
    """Held-out denoising loss of latents (n, c, h, w) whose captions call the concept `name`."""
    prompts = layerwise(model)
    texts = [caption.replace(PLACEHOLDER, name) for caption in captions]
    try:
        return held_out_loss(model, prompts, latents, texts, seed=seed)
    finally:
        prompts.remove()
