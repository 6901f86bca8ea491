"""Sampling with layer-wise prompts: one seed per picture, DPM-Solver++."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers.image_processor import VaeImageProcessor
from mos_protocol.names import Digest
from PIL.Image import Image

from mos_diffusion.attention import has_slices
from mos_diffusion.base_model import BaseModel
from mos_diffusion.marking import marked
from mos_diffusion.prompts import LayerwisePrompts, layerwise

NEGATIVE_PROMPT = (
    "longbody, lowres, bad anatomy, bad hands, missing fingers, extra digit, fewer digits, "
    "cropped, worst quality, low quality"
)
GUIDANCE = 7.5


def sample(
    pipe: BaseModel | Any,
    prompt: str,
    *,
    seeds: Sequence[int],
    negative_prompt: str = NEGATIVE_PROMPT,
    steps: int = 20,
    guidance: float = GUIDANCE,
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 8,
    watermark: bool = True,
    made_by: Digest | None = None,
) -> list[Image]:
    """One picture per seed, from a stock pipeline or a base model, which are left as they were.

    Sizes are in pixels; None is what the model was made for. Pictures of one batch are made
    together; a seed gives the same picture in batches of the same size. Those of 512×512 and more
    carry an invisible `watermark` that names the model, or what `made_by` says (see `marked`).
    """
    pictures: list[Image] = []
    for start in range(0, len(seeds), batch_size):
        latents = sample_latents(
            pipe,
            prompt,
            seeds=seeds[start : start + batch_size],
            negative_prompt=negative_prompt,
            steps=steps,
            guidance=guidance,
            height=height,
            width=width,
        )
        pictures += decode_latents(pipe, latents)
    return marked(pipe, pictures, made_by) if watermark else pictures


def sample_latents(
    pipe: BaseModel | Any,
    prompt: str,
    *,
    seeds: Sequence[int],
    negative_prompt: str = NEGATIVE_PROMPT,
    steps: int = 20,
    guidance: float = GUIDANCE,
    height: int | None = None,
    width: int | None = None,
) -> torch.Tensor:
    """The same as `sample`, before decoding: latents (len(seeds), c, h, w)."""
    with prepared_pipeline(pipe) as (ready, prompts):
        states = prompts([prompt] * len(seeds), negative_prompt)
        latents: torch.Tensor = ready(
            **states,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=height,
            width=width,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="latent",
        ).images
        return latents


@torch.no_grad()
def decode_latents(pipe: BaseModel | Any, latents: torch.Tensor) -> list[Image]:
    """Latents (B, c, h, w) as the UNet leaves them → pictures, without a watermark."""
    vae = pipe.vae
    scaled = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
    pixels = vae.decode(scaled, return_dict=False)[0]
    pictures: list[Image] = VaeImageProcessor().postprocess(pixels, output_type="pil")
    return pictures


@contextmanager
def prepared_pipeline(pipe: BaseModel | Any) -> Iterator[tuple[Any, LayerwisePrompts]]:
    """The pipeline with DPM-Solver++ and layer-wise prompts, undone at the end."""
    ready = pipe.pipeline() if isinstance(pipe, BaseModel) else pipe
    scheduler, had_slices = ready.scheduler, has_slices(ready.unet)
    ready.scheduler = DPMSolverMultistepScheduler.from_config(
        scheduler.config, algorithm_type="dpmsolver++"
    )
    prompts = layerwise(ready)
    try:
        yield ready, prompts
    finally:
        ready.scheduler = scheduler
        if not had_slices:
            prompts.remove()
