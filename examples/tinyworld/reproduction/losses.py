"""Denoising losses: what tuning gained on pictures it never saw, and what of it a model keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers.image_processor import VaeImageProcessor
from mos_diffusion import BaseModel, attach_concept, layerwise, load_concept
from mos_diffusion.evaluation.identity import held_out_loss
from mos_protocol.manifest import CONCEPT_FILE, read_manifest
from PIL import Image
from tinyworld.concepts import CONCEPTS

from reproduction.recipes import Recipe
from reproduction.tuned import package
from reproduction.workspace import Workspace

PLACEHOLDER = "<TOK>"
SEED = 0


def class_loss(space: Workspace, concept: str) -> float:
    """The base's loss on the concept's held-out pictures with its class word."""
    name = CONCEPTS[concept].class_word
    return float(
        space.measured(f"class/{concept}", lambda: _loss(space, space.base, concept, name))
    )


def own_loss(space: Workspace, recipe: Recipe, concept: str) -> float:
    """The loss of the concept's own tuned model."""

    def measure() -> float:
        folder = package(space, recipe, concept)
        weights = load_concept(folder / CONCEPT_FILE, read_manifest(folder).words)
        with attach_concept(space.base, weights):
            return loss_in(space, space.base, recipe, concept)

    return float(space.measured(f"own/{recipe.name}/{concept}", measure))


def loss_in(space: Workspace, model: BaseModel, recipe: Recipe, concept: str) -> float:
    """The loss of a model that knows the concept by its words."""
    manifest = read_manifest(package(space, recipe, concept))
    return _loss(space, model, concept, manifest.trigger)


def generic_loss(space: Workspace, model: BaseModel) -> float:
    """The loss on generic scenes with their captions: what a fusion does to everything else."""
    pictures, captions = _read(space.generic())
    latents = _encode(space.base, pictures)
    prompts = layerwise(model)
    try:
        return held_out_loss(
            model, prompts, latents, captions, seed=SEED, draws=space.profile.draws
        )
    finally:
        prompts.remove()


def _loss(space: Workspace, model: BaseModel, concept: str, name: str) -> float:
    pictures, captions = _read(space.pictures(concept) / "held_out")
    texts = [caption.replace(PLACEHOLDER, name) for caption in captions]
    prompts = layerwise(model)
    try:
        latents = _encode(space.base, pictures)
        return held_out_loss(model, prompts, latents, texts, seed=SEED, draws=space.profile.draws)
    finally:
        prompts.remove()


def _read(folder: Path) -> tuple[list[Image.Image], list[str]]:
    paths = sorted(folder.glob("*.png"))
    captions = [path.with_suffix(".txt").read_text().strip() for path in paths]
    return [Image.open(path).convert("RGB") for path in paths], captions


@torch.no_grad()
def _encode(base: BaseModel, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures → scaled latents (n, c, h, w)."""
    pixels = VaeImageProcessor().preprocess(list(pictures))
    latents: torch.Tensor = base.vae.encode(pixels).latent_dist.mean
    return latents * base.vae.config.scaling_factor
