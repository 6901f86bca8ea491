"""The forward process and the loss that tuning, recording and evaluation share.

Draws are made on the CPU from the generator that is passed, so that they are the same on every
device. Legend: B batch, c latent channels, h w latent size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from mos_protocol.methods import LossWeighting
from torch.nn import functional as F

from mos_diffusion.base_model import BaseModel
from mos_diffusion.prompts import LayerwisePrompts

MIN_SNR_GAMMA = 5.0


class Noised(NamedTuple):
    """Noised latents (B, c, h, w), time steps (B,) int64, and what the UNet is to predict."""

    latents: torch.Tensor
    timesteps: torch.Tensor
    target: torch.Tensor

    def split(self, size: int) -> Iterator[Noised]:
        """Batches of at most `size` pictures, in order."""
        for parts in zip(*(torch.split(tensor, size) for tensor in self), strict=True):
            yield Noised(*parts)


def noise_scheduler(base: BaseModel) -> DDPMScheduler:
    """The forward process that the base was trained with."""
    return DDPMScheduler.from_config(base.scheduler.config)


def noised(
    latents: torch.Tensor,
    scheduler: Any,
    generator: torch.Generator,
    noise_offset: float = 0.0,
    timesteps: torch.Tensor | None = None,
) -> Noised:
    """Noise latents at random time steps (or at the given ones, (B,) int64).

    ε = N(0, I) + noise_offset · N(0, I) per picture and channel; the target is ε, or the velocity
    when the base predicts that. Raises `ValueError` for other kinds of prediction.
    """
    count, channels = latents.shape[:2]
    if timesteps is None:
        timesteps = torch.randint(
            scheduler.config.num_train_timesteps, (count,), generator=generator
        )
    noise = torch.randn(latents.shape, generator=generator)
    if noise_offset:
        noise += noise_offset * torch.randn(count, channels, 1, 1, generator=generator)
    noise, timesteps = noise.to(latents), timesteps.to(latents.device)
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        target = noise
    elif kind == "v_prediction":
        target = scheduler.get_velocity(latents, noise, timesteps)
    else:
        raise ValueError(f"no target for prediction type {kind!r}")
    return Noised(scheduler.add_noise(latents, noise, timesteps), timesteps, target)


def spread_timesteps(count: int, scheduler: Any, generator: torch.Generator) -> torch.Tensor:
    """(count,) time steps, one drawn in each of `count` equal ranges, in random order."""
    shares = (
        torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)
    ) / count
    steps: int = scheduler.config.num_train_timesteps
    return (shares * steps).long()


def predict(
    base: BaseModel, prompts: LayerwisePrompts, batch: Noised, captions: Sequence[str]
) -> torch.Tensor:
    """What the UNet makes of noised latents with their captions, (B, c, h, w); differentiable."""
    states = prompts.encode(captions)
    prediction: torch.Tensor = base.unet(
        batch.latents.to(base.device, base.dtype),
        batch.timesteps.to(base.device),
        encoder_hidden_states=states.to(base.dtype),
    ).sample
    return prediction


def denoising_loss(
    prediction: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Squared error, averaged over each picture's mask, then over the batch.

    mask: (B, 1, h, w) or (B, c, h, w), weights ≥ 0; None counts everything. A picture whose mask
    is empty counts as 0. weights: (B,), what each picture's error is multiplied by.
    """
    error = (prediction.float() - target.float()).square()
    counted = torch.ones_like(error) if mask is None else mask.to(error).expand_as(error)
    total = (error * counted).flatten(1).sum(1)
    means = total / counted.flatten(1).sum(1).clamp(min=1e-6)
    return means.mean() if weights is None else (means * weights.to(means)).mean()


def time_step_weights(
    timesteps: torch.Tensor, scheduler: Any, weighting: LossWeighting
) -> torch.Tensor | None:
    """What the errors of each time step are multiplied by, (B,), or None: all by 1.

    `even` is plain DDPM: steps of little noise take most of the gradient, though colours and shapes
    are decided in those of much. `min-snr` (arXiv 2303.09556) caps the signal-to-noise ratio at
    which a step counts by min(SNR, 5)/SNR; `debiased` (arXiv 2310.08442) counts it by 1/√SNR. For
    bases that predict velocity both are divided by (SNR + 1)/SNR, so that they mean the same.
    """
    if weighting == "even":
        return None
    snr: torch.Tensor = compute_snr(scheduler, timesteps)
    of_noise = snr.clamp(max=MIN_SNR_GAMMA) / snr if weighting == "min-snr" else snr.rsqrt()
    velocity = scheduler.config.prediction_type == "v_prediction"
    return of_noise * snr / (snr + 1) if velocity else of_noise


@torch.no_grad()
def encode_pictures(
    base: BaseModel, pictures: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Pictures (B, 3, H, W) in −1…1 → latents as the UNet sees them, (B, c, h, w) fp32.

    With a generator the autoencoder's distribution is sampled, without one its mean is taken.
    """
    distribution = base.vae.encode(pictures.to(base.device, base.vae.dtype)).latent_dist
    latents = distribution.mode() if generator is None else distribution.sample(generator)
    scale: float = base.vae.config.scaling_factor
    return torch.as_tensor(latents).float() * scale


@torch.no_grad()
def resized_mask(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pixel masks (B, 1, H, W) → latent masks (B, 1, h, w), by averaging."""
    return F.adaptive_avg_pool2d(mask.float(), size)
