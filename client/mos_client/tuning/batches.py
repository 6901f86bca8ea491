"""The batch of every step, as a function of (seed, step) alone: any step can be had at any time.

Legend: B batch, R resolution in pixels, h latent side.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mos_diffusion.base_model import BaseModel
from mos_diffusion.noise import resized_mask
from torch import Tensor

from mos_client.tuning.captions import append_phrases, fill_caption, shuffle_phrases
from mos_client.tuning.crops import Window, prepare_picture
from mos_client.tuning.dataset import Dataset
from mos_client.tuning.settings import TuningSettings


@dataclass(frozen=True)
class Batch:
    """Captions with the words filled in, scaled latents (B, 4, h, h), mask (B, 1, h, h) in 0…1."""

    captions: list[str]
    latents: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Encoded:
    """The VAE's posterior for one crop, mean and standard deviation (4, h, h), and its mask."""

    mean: Tensor
    std: Tensor
    mask: Tensor


class Batches:
    """Draws batches; pictures whose crop can't move are encoded once and kept.

    Batches of different `stream` draw apart from each other.
    """

    def __init__(
        self,
        base: BaseModel,
        data: Dataset,
        settings: TuningSettings,
        resolution: int,
        *,
        stream: str = "",
    ) -> None:
        self._base = base
        self._data = data
        self._settings = settings
        self._resolution = resolution
        self._stream = f"{stream} " if stream else ""
        self._prepared = [
            prepare_picture(picture, resolution, settings.crop, settings.unmasked_weight)
            for picture in data.pictures
        ]
        self._kept: dict[tuple[int, Window], Encoded] = {}

    def batch(self, step: int, part: int = 0, parts: int = 1) -> Batch:
        """The batch of a step; with several processes each one takes every `parts`-th picture."""
        settings = self._settings
        numbers = self._numbers(step)[part::parts]
        rng = random.Random(f"{self._stream}crop {settings.seed} {step} {part}")
        windows = [
            self._prepared[number].window(
                rng, settings.crop, flip=settings.flip, zoom=settings.zoom
            )
            for number in numbers
        ]
        captions = [
            self._caption(number, window, rng)
            for number, window in zip(numbers, windows, strict=True)
        ]
        encoded = self._encoded(list(zip(numbers, windows, strict=True)))
        mean = torch.stack([item.mean for item in encoded])
        if settings.sample_latents:
            generator = step_generator(settings.seed, step, part, f"{self._stream}latents")
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            mean = mean + noise * torch.stack([item.std for item in encoded])
        mask = torch.stack([item.mask for item in encoded])
        return Batch(captions, mean * self._base.vae.config.scaling_factor, mask)

    def _numbers(self, step: int) -> list[int]:
        """Which pictures: epochs of shuffled pictures, laid end to end and cut into batches."""
        size, order = self._settings.batch_size, self._data.order()
        first = step * size
        epochs = range(first // len(order), (first + size - 1) // len(order) + 1)
        line = [number for epoch in epochs for number in self._epoch(epoch, order)]
        start = first - epochs[0] * len(order)
        return line[start : start + size]

    def _epoch(self, epoch: int, order: Sequence[int]) -> list[int]:
        rng = random.Random(f"{self._stream}order {self._settings.seed} {epoch}")
        return rng.sample(order, len(order))

    def _caption(self, number: int, window: Window, rng: random.Random) -> str:
        caption = self._data.pictures[number].caption
        if self._settings.shuffle_captions:
            caption = shuffle_phrases(caption, rng)
        if self._settings.extra_phrases:
            caption = append_phrases(caption, rng)
        if window.zoom and (phrases := window.zoom.phrases(self._resolution)):
            caption = f"{rng.choice(phrases)} {caption}"
        return fill_caption(caption, self._settings.trigger)

    def _encoded(self, crops: Sequence[tuple[int, Window]]) -> list[Encoded]:
        """Encode what is not kept. Kept ones alone: the result must not depend on the batch."""
        found = {crop: self._kept[crop] for crop in crops if crop in self._kept}
        for crop in dict.fromkeys(crop for crop in crops if crop not in found):
            if not self._moves(crop[0]):
                found[crop] = self._kept[crop] = self._encode([crop])[0]
        moving = list(dict.fromkeys(crop for crop in crops if crop not in found))
        if moving:
            found |= dict(zip(moving, self._encode(moving), strict=True))
        return [found[crop] for crop in crops]

    def _moves(self, number: int) -> bool:
        prepared = self._prepared[number]
        square = prepared.pixels.shape[1] == prepared.pixels.shape[2]
        return self._settings.zoom or (self._settings.crop == "random" and not square)

    @torch.no_grad()
    def _encode(self, crops: Sequence[tuple[int, Window]]) -> list[Encoded]:
        margin = self._base.vae_factor
        cuts = [self._prepared[number].cut(window, margin) for number, window in crops]
        pixels, masks = (torch.stack(items) for items in zip(*cuts, strict=True))
        vae = self._base.vae
        posterior = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
        mean, std = posterior.mean.float(), posterior.std.float()
        masks = resized_mask(masks, mean.shape[-2:]).to(mean.device)
        return [Encoded(*item) for item in zip(mean, std, masks, strict=True)]


def step_generator(seed: int, step: int, part: int, purpose: str) -> torch.Generator:
    """A CPU generator that depends on its arguments only, so a resumed run draws the same."""
    digest = hashlib.sha256(f"{purpose} {seed} {step} {part}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
