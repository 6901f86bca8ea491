"""One treatment of a concept's pictures, and what a tuning on them learns; results are kept.

Gain is what tuning takes off the denoising loss of clean held-out pictures; alignment is the tiny
CLIP's, of sampled pictures with these.
"""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import HERE
from mos_client.protecting import ProtectionSettings, protect
from mos_client.tuning import LearningRates, TuningSettings, tune
from mos_diffusion.base_model import BaseModel, load_base
from mos_diffusion.edlora import attach_concept
from mos_diffusion.evaluation.alignment import Clip, image_alignment, load_clip
from mos_diffusion.evaluation.identity import held_out_loss
from mos_diffusion.noise import encode_pictures
from mos_diffusion.prompts import layerwise
from mos_diffusion.sampling import sample
from PIL import Image, ImageFilter
from tinyworld import CONCEPTS, write_concept

TINYWORLD = HERE.parent / "examples" / "tinyworld"
# A base this small takes far higher rates than Stable Diffusion.
RATES = LearningRates(1e-2, 2e-4, 1e-3)
BLUR_RADIUS = 0.6

Figures = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Pictures of a concept: clean, noise or protected by so much, then maybe changed."""

    concept: str
    treatment: str
    budget: int = 0
    then: str = ""
    surrogate: str = "ed-lora"

    @property
    def name(self) -> str:
        """For files: `zigmug-protected-8-ed-lora-jpeg`."""
        parts = [self.concept, self.treatment, str(self.budget), self.surrogate, self.then]
        return "-".join(part for part in parts if part)


class Bench:
    """Measures cases in a folder; with few pictures, seeds and sampling steps when `quick`."""

    def __init__(self, folder: Path, steps: int, rounds: int, *, quick: bool) -> None:
        self._folder = folder
        self._steps = steps
        self._rounds = rounds
        self._seeds = range(1) if quick else range(8)
        self._sampling_steps, self._held_out = (2, 2) if quick else (20, 12)
        self._base: BaseModel = load_base(TINYWORLD / "model")

    def measure(self, case: Case) -> Figures:
        """The figures of a case, from its file if it was measured before."""
        path = self._folder / "figures" / f"{case.name}.json"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            figures = asdict(case) | self._change(case) | self._tuned(case)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            os.replace(partial, path)
        kept: Figures = json.loads(path.read_text(encoding="utf-8"))
        return kept | {"alignment": self._alignment(case)}

    def pictures(self, case: Case) -> Path:
        """The folder of a case's pictures and captions, made if it is not there."""
        folder = self._folder / "pictures" / case.name
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            partial.mkdir(parents=True, exist_ok=True)
            for name, picture in self._treated(case).items():
                picture.save(partial / name)
                caption = self._clean(case.concept) / Path(name).with_suffix(".txt")
                (partial / caption.name).write_text(caption.read_text())
            partial.rename(folder)
        return folder

    def samples(self, case: Case) -> list[Path]:
        """What the model that was tuned on a case's pictures drew."""
        return sorted((self._folder / "samples" / case.name).glob("*.png"))

    def _treated(self, case: Case) -> dict[str, Image.Image]:
        if case.then:
            before = self.pictures(Case(case.concept, case.treatment, case.budget))
            return {name: _THEN[case.then](shown) for name, shown in _open(before).items()}
        if case.treatment == "protected":
            return self._protected(case)
        clean = _open(self._clean(case.concept))
        return _noisy(clean, case.budget) if case.treatment == "noise" else clean

    def _protected(self, case: Case) -> dict[str, Image.Image]:
        settings = ProtectionSettings(
            base=str(TINYWORLD / "model"),
            class_word=CONCEPTS[case.concept].class_word,
            budget=case.budget,
            rounds=self._rounds,
            surrogate=case.surrogate,
            learning_rates=RATES if case.surrogate == "ed-lora" else LearningRates(unet=1e-4),
            batch_size=8,
            device="cpu",
        )
        out = self._folder / "protected" / case.name
        if not out.exists():
            work = out.with_suffix(".work")
            protect(settings, self._clean(case.concept), out, work, base=self._base)
        return _open(out)

    def _change(self, case: Case) -> Figures:
        """How far the pictures are from the clean ones: the largest change, and PSNR in dB."""
        clean, treated = _open(self._clean(case.concept)), _open(self.pictures(case))
        change = np.stack([_pixels(treated[name]) - _pixels(clean[name]) for name in clean])
        error = float(np.square(change, dtype=float).mean())
        psnr = 10 * math.log10(255**2 / error) if error else None
        return {"largest": int(np.abs(change).max()), "psnr": psnr}

    def _tuned(self, case: Case) -> Figures:
        """Tune on the pictures; losses of clean held-out ones before and after, and samples."""
        concept = CONCEPTS[case.concept]
        settings = TuningSettings(
            name=f"bench/{concept.name}",
            words=concept.words,
            class_word=concept.class_word,
            base=str(TINYWORLD / "model"),
            steps=self._steps,
            rank=4,
            layers="all",
            learning_rates=RATES,
            embedding_norm_stop=None,
            unmasked_weight=1,
            device="cpu",
        )
        work = self._folder / "tuning" / case.name
        tuned = tune(settings, self.pictures(case), work, base=self._base)
        before = self._loss(case.concept, concept.class_word)
        with attach_concept(self._base, tuned.weights):
            after = self._loss(case.concept, settings.trigger)
            drawn = sample(
                self._base,
                f"a photo of a {settings.trigger} on the grass",
                seeds=self._seeds,
                negative_prompt="",
                guidance=4.0,
                steps=self._sampling_steps,
            )
        folder = self._folder / "samples" / case.name
        folder.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(drawn):
            picture.save(folder / f"{number}.png")
        return {"before": before, "after": after}

    def _loss(self, concept: str, name: str) -> float:
        folder = self._clean(concept).with_name("held_out")
        shown = _open(folder)
        captions = [
            (folder / picture).with_suffix(".txt").read_text().strip().replace("<TOK>", name)
            for picture in shown
        ]
        inputs = np.stack([_pixels(picture) for picture in shown.values()])
        scaled = torch.from_numpy(inputs).permute(0, 3, 1, 2).float() / 127.5 - 1
        prompts = layerwise(self._base)
        try:
            latents = encode_pictures(self._base, scaled)
            return held_out_loss(self._base, prompts, latents, captions, seed=0)
        finally:
            prompts.remove()

    def _alignment(self, case: Case) -> float:
        held_out = sorted(self._clean(case.concept).with_name("held_out").glob("*.png"))
        drawn, references = map(self._clip.pictures, (self.samples(case), held_out))
        return float(image_alignment(drawn, references).mean())

    def _clean(self, concept: str) -> Path:
        world = self._folder / "world"
        if not (world / concept / "concept.json").is_file():
            write_concept(concept, world, self._held_out)
        return world / concept / "tune"

    @cached_property
    def _clip(self) -> Clip:
        return load_clip(TINYWORLD / "clip")


def _noisy(pictures: dict[str, Image.Image], budget: int) -> dict[str, Image.Image]:
    """Every channel of every pixel moved by the whole budget, up or down at random."""
    rng = np.random.default_rng(1)
    return {
        name: Image.fromarray(
            (_pixels(picture) + budget * rng.choice([-1, 1], (*picture.size[::-1], 3)))
            .clip(0, 255)
            .astype(np.uint8)
        )
        for name, picture in pictures.items()
    }


def _jpeg(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    return Image.open(file).convert("RGB")


def _blur(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(BLUR_RADIUS))


def _half(picture: Image.Image) -> Image.Image:
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    return half.resize(picture.size, Image.Resampling.LANCZOS)


_THEN = {"jpeg": _jpeg, "blur": _blur, "half": _half}


def _open(folder: Path) -> dict[str, Image.Image]:
    return {path.name: Image.open(path).convert("RGB") for path in sorted(folder.glob("*.png"))}


def _pixels(picture: Image.Image) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.asarray(picture).astype(np.int16)
