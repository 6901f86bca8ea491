"""The model that stands for the one somebody would tune on the photos.

Legend: B pictures, R resolution in pixels, c latent channels, h latent side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mos_diffusion.base_model import BaseModel
from mos_diffusion.edlora import AttachedConcept, new_concept
from mos_diffusion.noise import Noised, denoising_loss, noise_scheduler, noised, predict
from mos_diffusion.prompts import layerwise
from torch import Tensor, nn

from mos_client.protecting.settings import WORDS, ProtectionSettings
from mos_client.tuning.captions import fill_caption


class SurrogateModel:
    """A base model of which some parameters learn; `parameters` are these, by name."""

    def __init__(
        self, base: BaseModel, groups: Sequence[tuple[Sequence[nn.Parameter], float]], trigger: str
    ) -> None:
        """groups: parameters with their learning rate; trigger: what captions call the subject."""
        self._base = base
        self._groups = groups
        self._trigger = trigger
        self._prompts = layerwise(base)
        self._noise = noise_scheduler(base)
        self.parameters = {
            f"{number}.{index}": parameter
            for number, (parameters, _) in enumerate(groups)
            for index, parameter in enumerate(parameters)
        }

    def latents(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, R, R) in −1…1 → their latents' means (B, c, h, h); differentiable."""
        vae = self._base.vae
        mean: Tensor = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mode()
        scale: float = vae.config.scaling_factor
        return mean.float() * scale

    def noised(self, latents: Tensor, generator: torch.Generator) -> Noised:
        """The latents at random time steps."""
        return noised(latents, self._noise, generator)

    def loss(self, batch: Noised, captions: Sequence[str]) -> Tensor:
        """The denoising loss of noised latents with captions in which `<TOK>` is the subject."""
        texts = [fill_caption(caption, self._trigger) for caption in captions]
        device = self._base.device
        with torch.autocast(device.type, torch.bfloat16, enabled=_has_bf16(device)):
            prediction = predict(self._base, self._prompts, batch, texts)
        return denoising_loss(prediction, batch.target)

    def optimizer(self) -> torch.optim.AdamW:
        """A fresh optimiser of the parameters that learn."""
        return torch.optim.AdamW(
            [{"params": list(parameters), "lr": rate} for parameters, rate in self._groups]
        )

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """What is learned inside is forgotten at the end."""
        kept = {name: value.detach().clone() for name, value in self.parameters.items()}
        try:
            yield
        finally:
            self.restore(kept)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No gradients of parameters are computed inside."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters.values():
                parameter.requires_grad_(True)

    @torch.no_grad()
    def restore(self, values: dict[str, Tensor]) -> None:
        """Take back the values of the parameters."""
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])

    def remove(self) -> None:
        """Give the base its own attention processors back."""
        self._prompts.remove()


@contextmanager
def surrogate_on(base: BaseModel, settings: ProtectionSettings) -> Iterator[SurrogateModel]:
    """An untrained surrogate on the base, which is as it was afterwards."""
    attach = _edlora if settings.surrogate == "ed-lora" else _whole_unet
    checkpointed = (base.unet, base.vae) if settings.gradient_checkpointing else ()
    for model in checkpointed:
        model.enable_gradient_checkpointing()
    try:
        with attach(base, settings) as surrogate:
            try:
                yield surrogate
            finally:
                surrogate.remove()
    finally:
        for model in checkpointed:
            model.disable_gradient_checkpointing()


@contextmanager
def _edlora(base: BaseModel, settings: ProtectionSettings) -> Iterator[SurrogateModel]:
    """Word embeddings and LoRA on the attention layers learn, as `mos-client tune` has it."""
    rank, seed = settings.rank, settings.seed
    with new_concept(base, WORDS, settings.class_word, rank=rank, seed=seed) as concept:
        groups = _edlora_groups(concept, settings)
        yield SurrogateModel(base, groups, " ".join(WORDS))


@contextmanager
def _whole_unet(base: BaseModel, settings: ProtectionSettings) -> Iterator[SurrogateModel]:
    """All of the UNet learns, as DreamBooth has it; captions call the subject by its class."""
    kept = {name: value.clone() for name, value in base.unet.state_dict().items()}
    base.unet.requires_grad_(True)
    try:
        groups = [(list(base.unet.parameters()), settings.learning_rates.unet)]
        yield SurrogateModel(base, groups, settings.class_word)
    finally:
        base.unet.requires_grad_(False)
        base.unet.load_state_dict(kept)


def _edlora_groups(
    concept: AttachedConcept, settings: ProtectionSettings
) -> list[tuple[list[nn.Parameter], float]]:
    rates = settings.learning_rates
    return [
        (concept.embedding_parameters(), rates.embedding),
        (concept.text_encoder_lora_parameters(), rates.text_encoder),
        (concept.unet_lora_parameters(), rates.unet),
    ]


def _has_bf16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
