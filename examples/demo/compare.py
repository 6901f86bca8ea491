"""What the demo looks at: each concept in its own model, in the fused model, and averaged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.image_processor import VaeImageProcessor
from mos_diffusion import BaseModel, attach_concept, layerwise, load_base, load_concept, sample
from mos_diffusion.evaluation.identity import held_out_loss, identity_kept
from mos_protocol.manifest import CONCEPT_FILE, read_manifest
from PIL import Image

SEEDS = (1, 2, 3)
GUIDANCE = 2.0
PLACEHOLDER = "<TOK>"


@dataclass(frozen=True)
class DemoConcept:
    """One concept of the demo: its pictures, its package, how prompts name it."""

    name: str
    data: Path
    package: Path
    prompt: str
    seeds: tuple[int, ...] = SEEDS

    @property
    def words(self) -> str:
        return " ".join(read_manifest(self.package).words)

    @property
    def class_word(self) -> str:
        return read_manifest(self.package).class_word

    def tuning_pictures(self) -> list[Image.Image]:
        """The first few pictures that the client tuned on."""
        paths = sorted((self.data / "tune").glob("*.png"))[: len(self.seeds)]
        return [Image.open(path).convert("RGB") for path in paths]

    def held_out(self) -> tuple[list[Image.Image], list[str]]:
        """Pictures that tuning never saw, with their captions."""
        paths = sorted((self.data / "held_out").glob("*.png"))
        captions = [path.with_suffix(".txt").read_text().strip() for path in paths]
        return [Image.open(path).convert("RGB") for path in paths], captions


@dataclass(frozen=True)
class Kept:
    """A concept's held-out denoising loss in four models, and the shares of its gain kept."""

    concept: str
    class_word: float
    own: float
    fused: float
    averaged: float

    @property
    def share_fused(self) -> float:
        return identity_kept(self.class_word, self.own, self.fused)

    @property
    def share_averaged(self) -> float:
        return identity_kept(self.class_word, self.own, self.averaged)


@contextmanager
def own_model(base: BaseModel, concept: DemoConcept) -> Iterator[BaseModel]:
    """The base with one tuned concept attached."""
    weights = load_concept(concept.package / CONCEPT_FILE, read_manifest(concept.package).words)
    with attach_concept(base, weights):
        yield base


def draw(model: BaseModel, prompt: str, seeds: Sequence[int] = SEEDS) -> list[Image.Image]:
    """One picture per seed."""
    return sample(model, prompt, seeds=seeds, negative_prompt="", guidance=GUIDANCE)


def measure(base: BaseModel, fused: BaseModel, averaged: BaseModel, concept: DemoConcept) -> Kept:
    """Denoise the concept's held-out pictures with the same noise in all four models."""
    pictures, captions = concept.held_out()
    latents = _encode(base, pictures)

    def loss(model: BaseModel, name: str) -> float:
        prompts = layerwise(model)
        texts = [caption.replace(PLACEHOLDER, name) for caption in captions]
        try:
            return held_out_loss(model, prompts, latents, texts, seed=0)
        finally:
            prompts.remove()

    with own_model(base, concept):
        own = loss(base, concept.words)
    return Kept(
        concept.name,
        loss(base, concept.class_word),
        own,
        loss(fused, concept.words),
        loss(averaged, concept.words),
    )


def write_table(rows: Sequence[Kept], path: Path) -> str:
    """Write the shares of identity kept as Markdown (and JSON beside it); return the Markdown."""
    lines = [
        "| concept | loss, class word | loss, own model | kept, fused | kept, averaged |",
        "|---|---|---|---|---|",
        *(
            f"| {row.concept} | {row.class_word:.4f} | {row.own:.4f} "
            f"| {row.share_fused:.2f} | {row.share_averaged:.2f} |"
            for row in rows
        ),
    ]
    text = "\n".join(lines) + "\n"
    path.write_text(text)
    figures = [
        {"concept": row.concept, "fused": row.share_fused, "averaged": row.share_averaged}
        for row in rows
    ]
    path.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    return text


def load_models(base: Path, fused: Path, averaged: Path) -> tuple[BaseModel, BaseModel, BaseModel]:
    """The base, the fused model and the averaged one, in float32."""
    return load_base(base), load_base(fused), load_base(averaged)


@torch.no_grad()
def _encode(base: BaseModel, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures → scaled latents (n, c, h, w)."""
    pixels = VaeImageProcessor().preprocess(list(pictures))
    latents: torch.Tensor = base.vae.encode(pixels).latent_dist.mean
    return latents * base.vae.config.scaling_factor
