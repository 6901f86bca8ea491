"""How much of a concept a model knows, measured by denoising held-out pictures of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mos_diffusion.base_model import BaseModel
from mos_diffusion.noise import (
    denoising_loss,
    noise_scheduler,
    noised,
    predict,
    spread_timesteps,
)
from mos_diffusion.prompts import LayerwisePrompts


@torch.no_grad()
def held_out_loss(
    base: BaseModel,
    prompts: LayerwisePrompts,
    latents: torch.Tensor,
    captions: Sequence[str],
    *,
    seed: int,
    draws: int = 8,
    batch_size: int = 8,
) -> float:
    """Mean denoising loss of latents (n, c, h, w) with their captions over `draws` noisings each.

    Noise and time steps depend on the seed alone: two models, or two wordings of the captions,
    are compared on the same ones. Time steps are spread evenly over all draws.
    """
    if len(latents) != len(captions):
        raise ValueError(f"{len(latents)} pictures, but {len(captions)} captions")
    generator = torch.Generator().manual_seed(seed)
    scheduler = noise_scheduler(base)
    order = torch.arange(len(latents)).repeat(draws)
    timesteps = spread_timesteps(len(order), scheduler, generator)
    everything = noised(latents[order], scheduler, generator, timesteps=timesteps)
    texts = [captions[i] for i in order.tolist()]
    total = 0.0
    for start, batch in enumerate(everything.split(batch_size)):
        prediction = predict(base, prompts, batch, texts[start * batch_size :][:batch_size])
        loss = denoising_loss(prediction, batch.target.to(base.device))
        total += loss.item() * len(prediction)
    return total / len(order)


def identity_kept(loss_class: float, loss_own: float, loss_other: float) -> float:
    """The share of a concept's gain that another model keeps: (class − other) / (class − own).

    `loss_class`: the base with the class word; `loss_own`: the concept's own tuned model. 1 is as
    good as the tuned model, 0 as bad as the class word. Raises `ValueError` when tuning gained
    nothing.
    """
    gain = loss_class - loss_own
    if gain <= 0:
        raise ValueError(f"tuning gained nothing: {loss_class:g} before, {loss_own:g} after")
    return (loss_class - loss_other) / gain
