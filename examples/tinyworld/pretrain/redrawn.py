"""Pictures as the base model would have drawn them: what its artefacts do to an object.

A picture is noised in part and denoised again with its caption. A CLIP that never saw such pictures
takes the blur of an autoencoder for another object.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from data import PairedScenes, close_view
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

MODEL = Path(__file__).parents[1] / "model"
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""How much of a picture's way to noise it goes before it is denoised."""
STEPS = 10
BATCH = 50


def redraw_seconds(pairs: PairedScenes, count: int, seed: int) -> PairedScenes:
    """The first `count` pairs, with the second picture of each redrawn by the base model."""
    pipe = _pipeline()
    captions = pairs.captions[1][:count]
    whole = _redraw(pipe, _pictures(pairs.whole[1, :count]), captions, seed)
    boxes = pairs.boxes[1, :count].tolist()
    close = [close_view(picture, tuple(box)) for picture, box in zip(whole, boxes, strict=True)]
    return PairedScenes(
        torch.stack([pairs.whole[0, :count], _tensor(whole)]),
        torch.stack([pairs.close[0, :count], _tensor(close)]),
        pairs.boxes[:, :count],
        (pairs.captions[0][:count], captions),
    )


def _pipeline() -> StableDiffusionImg2ImgPipeline:
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(
        MODEL, safety_checker=None, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _redraw(
    pipe: StableDiffusionImg2ImgPipeline,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    seed: int,
) -> list[Image.Image]:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    drawn: list[Image.Image] = []
    for start in range(0, len(pictures), BATCH):
        part = slice(start, start + BATCH)
        drawn += pipe(
            list(captions[part]),
            image=list(pictures[part]),
            strength=rng.choice(STRENGTHS),
            num_inference_steps=STEPS,
            guidance_scale=1.0,
            generator=generator,
        ).images
        print(f"  redrawn  │ {len(drawn)}/{len(pictures)}", flush=True)
    return drawn


def _pictures(tensor: torch.Tensor) -> list[Image.Image]:
    """(N, 3, 64, 64) uint8 as pictures."""
    return [Image.fromarray(array) for array in tensor.permute(0, 2, 3, 1).numpy()]


def _tensor(pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures as (N, 3, 64, 64) uint8."""
    stacked = torch.from_numpy(np.stack([np.asarray(p.convert("RGB")) for p in pictures]))
    return stacked.permute(0, 3, 1, 2).contiguous()
