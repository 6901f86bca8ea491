"""Text- and image-alignment of a few pictures: what a study's many models are compared by.

Picture k shows concept k by prompt k, each counted round. All models of the same concepts are asked
for the same pictures with the same seed, so that they differ by the model alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import torch
from mos_diffusion import BaseModel
from mos_diffusion.evaluation.alignment import Clip, image_alignment, load_clip, text_alignment
from mos_diffusion.evaluation.evaluating import ConceptCase
from mos_diffusion.evaluation.pictures import PictureCache, SamplingSettings, sample_subject
from mos_diffusion.evaluation.prompts import read_prompts
from mos_diffusion.evaluation.subjects import Subject, concept_subject, model_subject
from mos_protocol.manifest import read_manifest
from tinyworld.concepts import CONCEPTS

from reproduction.recipes import Recipe
from reproduction.tuned import package
from reproduction.workspace import CLIP, HERE, Workspace

PROMPTS = HERE / "evaluation_prompts.json"
GUIDANCE = 2.0
SIDE = 64
BATCH = 20
SEED = 1


@dataclass(frozen=True)
class Asked:
    """One picture: whose it is, what is sampled, and what CLIP compares it with."""

    case: ConceptCase
    text: str
    described: str


def sampling(space: Workspace, seeds: tuple[int, ...]) -> SamplingSettings:
    """How this workspace's pictures are sampled."""
    return SamplingSettings(
        seeds=seeds,
        steps=space.profile.sampling_steps,
        guidance=GUIDANCE,
        negative_prompt="",
        side=SIDE,
        batch_size=BATCH,
    )


def made(space: Workspace) -> PictureCache:
    """Where this workspace keeps its pictures."""
    return PictureCache(space.root / "made")


def case_of(space: Workspace, concept: str, recipe: Recipe | None = None) -> ConceptCase:
    """The concept as its package by the recipe names it; without one, by its class word."""
    known = CONCEPTS[concept]
    trigger = known.class_word
    if recipe is not None:
        trigger = read_manifest(package(space, recipe, concept)).trigger
    pictures = sorted((space.pictures(concept) / "tune").glob("*.png"))
    prompts = read_prompts(PROMPTS).for_class(known.class_word)
    return ConceptCase(concept, trigger, known.class_word, prompts, tuple(pictures))


def in_fused(
    space: Workspace, model: BaseModel, recipe: Recipe, concepts: Sequence[str]
) -> dict[str, float]:
    """Mean text- and image-alignment in one model that knows all of the concepts."""
    asked = _asked(space, recipe, concepts)
    return _scored(space, asked, _draw(space, model_subject(model), asked))


def in_own(space: Workspace, recipe: Recipe, concepts: Sequence[str]) -> dict[str, float]:
    """The same pictures, each by its concept's own tuned model."""
    asked, base = _asked(space, recipe, concepts), model_subject(space.base)
    pictures = {}
    for name in concepts:
        with concept_subject(base, package(space, recipe, name)) as subject:
            own = [one for one in asked if one.case.name == name]
            pictures.update(zip(own, _draw(space, subject, own), strict=True))
    return _scored(space, asked, [pictures[one] for one in asked])


def _asked(space: Workspace, recipe: Recipe, concepts: Sequence[str]) -> list[Asked]:
    cases = [case_of(space, name, recipe) for name in concepts]
    found = []
    for number in range(space.profile.drawn):
        case = cases[number % len(cases)]
        prompt = number % len(case.prompts.prompts)
        text = case.prompts.texts(case.trigger)[prompt]
        found.append(Asked(case, text, case.prompts.described(case.class_word)[prompt]))
    return found


def _draw(space: Workspace, subject: Subject, asked: Sequence[Asked]) -> list[Path]:
    texts = [one.text for one in asked]
    settings = sampling(space, (SEED,))
    return [row[0] for row in sample_subject(subject, texts, settings, made(space))]


def _scored(space: Workspace, asked: Sequence[Asked], pictures: Sequence[Path]) -> dict[str, float]:
    clip = _clip(space.device)
    embedded = clip.pictures(pictures)
    texts = clip.texts([one.described for one in asked])
    image = [
        image_alignment(picture[None], _references(space.device, one.case.pictures)).item()
        for one, picture in zip(asked, embedded, strict=True)
    ]
    return {"text": text_alignment(embedded, texts).mean().item(), "image": fmean(image)}


@cache
def _clip(device: str) -> Clip:
    return load_clip(str(CLIP), device)


@cache
def _references(device: str, pictures: tuple[Path, ...]) -> torch.Tensor:
    return _clip(device).pictures(pictures)
