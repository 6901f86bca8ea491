"""The loop of every method: it trains a concept's embeddings, and the updates of its layers.

Every step draws what it needs from (seed, step) and sets its learning rates from the step, so a
run that was stopped anywhere goes on from its last saved state as if nothing had happened.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from mos_diffusion.base_model import BaseModel, blocks
from mos_diffusion.edlora import AttachedConcept
from mos_diffusion.noise import denoising_loss, noise_scheduler, noised, time_step_weights
from mos_diffusion.prompts import layerwise
from mos_protocol.methods import LAYER_PARTS
from torch import Tensor, nn

from mos_client.tuning.batches import Batches, step_generator
from mos_client.tuning.penalty import PriorPenalty
from mos_client.tuning.settings import TuningSettings
from mos_client.tuning.state import TuningState, optimizer_tensors, restore_optimizer

BETAS = (0.9, 0.999)
REGULARISATION_WEIGHT = 1.0


class TuningLoop:
    """The optimiser's side of one run: take a step, hand out the state, take it back."""

    def __init__(
        self,
        base: BaseModel,
        concept: AttachedConcept,
        batches: Batches,
        settings: TuningSettings,
        steps: int,
        accelerator: Accelerator,
        penalty: PriorPenalty | None,
        regularisation: Batches | None = None,
    ) -> None:
        self.steps = steps
        self.losses: list[float] = []
        self.frozen_at: int | None = None
        self._base = base
        self._batches = batches
        self._settings = settings
        self._accelerator = accelerator
        self._penalty = penalty
        self._regularisation = regularisation
        self._concept = concept
        self._prompts = layerwise(base)
        self._noise = noise_scheduler(base)
        self._rows = concept.embedding_rows()
        own = set(concept.layers) if settings.kv_drop else set()
        self._kv_layers = [
            layer.name
            for block in blocks(base)
            for layer in block.layers
            if layer.part in LAYER_PARTS["keys-values"] and layer.name in own
        ]
        self._parameters = _named_parameters(concept)
        self._optimizer = accelerator.prepare(_optimizer(concept, settings))
        self.norm_stop = self._norm_stop()

    @property
    def done(self) -> bool:
        return len(self.losses) >= self.steps

    def step(self) -> float:
        """One optimiser step; returns the denoising loss of the concept's pictures alone."""
        step = len(self.losses)
        self._open_layers(step)
        with self._concept.without(self._dropped(step)):
            loss = self._backward(step)
        self._share_gradients()
        left = 1 - len(self.losses) / self.steps
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * left
        self._optimizer.step()
        self._optimizer.zero_grad()
        # The one time per step that the host waits for the device.
        shared = self._accelerator.reduce(loss.detach(), "mean")
        told: list[float] = torch.stack([shared, self._norm()]).tolist()
        value, norm = told
        self.losses.append(value)
        if self.norm_stop is not None and self.frozen_at is None and norm >= self.norm_stop:
            self._freeze_embeddings(len(self.losses))
        return value

    def state(self) -> TuningState:
        """What `restore` needs; the tensors are live, so save it before the next step."""
        scaler = self._accelerator.scaler
        return TuningState(
            dict(self._parameters),
            optimizer_tensors(self._optimizer.optimizer, list(self._parameters)),
            self.losses,
            self.frozen_at,
            scaler.state_dict() if scaler is not None else {},
        )

    @torch.no_grad()
    def restore(self, state: TuningState) -> None:
        """Go back to a saved state of the same run."""
        for name, parameter in self._parameters.items():
            parameter.copy_(state.parameters[name])
        names = list(self._parameters)
        restore_optimizer(self._optimizer.optimizer, names, state.optimizer)
        if state.scaler and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state.scaler)
        self.losses = state.losses
        if state.frozen_at is not None:
            self._freeze_embeddings(state.frozen_at)

    def _backward(self, step: int) -> Tensor:
        """Add up the gradients of all that a step minimises; the concept's own loss."""
        loss = total = self._denoising_loss(step, self._batches, "noise")
        if self._penalty is not None:
            total = loss + self._settings.prior_penalty * self._penalty()
        self._accelerator.backward(total)
        if self._regularisation is not None:
            # On its own, so that it takes no more memory than the first.
            other = self._denoising_loss(step, self._regularisation, "regularisation noise")
            self._accelerator.backward(REGULARISATION_WEIGHT * other)
        return loss

    def _denoising_loss(self, step: int, batches: Batches, purpose: str) -> Tensor:
        seed, part = self._settings.seed, self._accelerator.process_index
        batch = batches.batch(step, part, self._accelerator.num_processes)
        generator = step_generator(seed, step, part, purpose)
        noisy = noised(batch.latents, self._noise, generator, self._settings.noise_offset)
        with self._accelerator.autocast():
            prediction: Tensor = self._base.unet(
                noisy.latents.to(self._base.dtype),
                noisy.timesteps,
                encoder_hidden_states=self._states(batch.captions),
            ).sample
        weighting = self._settings.loss_weighting
        weights = time_step_weights(noisy.timesteps, self._noise, weighting)
        return denoising_loss(prediction, noisy.target, batch.mask, weights)

    def _states(self, captions: list[str]) -> Tensor:
        """Layer-wise states (B, L·T, d); a caption that comes twice is encoded once."""
        distinct = list(dict.fromkeys(captions))
        states = self._prompts.encode(distinct)
        if len(distinct) == len(captions):
            return states
        return states[[distinct.index(caption) for caption in captions]]

    def _share_gradients(self) -> None:
        """Average over the processes: a million numbers at most, so no wrapper is worth it."""
        if self._accelerator.num_processes > 1:
            for parameter in self._parameters.values():
                if parameter.grad is not None:
                    parameter.grad = self._accelerator.reduce(parameter.grad, "mean")

    def _open_layers(self, step: int) -> None:
        """Let the layers be trained after the steps of the embeddings alone, if there are any."""
        if not self._settings.embedding_first:
            return
        first = round(self._settings.embedding_first * self.steps)
        trained = step >= first or self.frozen_at is not None
        for name, parameter in self._parameters.items():
            if not name.startswith("embedding."):
                parameter.requires_grad_(trained)

    def _dropped(self, step: int) -> list[str]:
        """The key and value layers that are left out in this step, the same in every process."""
        chance = self._settings.kv_drop
        if not chance:
            return []
        draws = torch.rand(
            len(self._kv_layers),
            generator=step_generator(self._settings.seed, step, 0, "kv drop"),
        )
        return [name for name, draw in zip(self._kv_layers, draws, strict=True) if draw < chance]

    def _norm(self) -> Tensor:
        """The mean L2 norm of the embeddings."""
        norms: Tensor = torch.linalg.vector_norm(self._rows.detach(), dim=-1)
        return norms.mean()

    def _norm_stop(self) -> float | None:
        """The norm to stop at; None if a base's own embeddings are that large from the start."""
        limit = self._settings.embedding_norm_stop
        return limit if limit is not None and self._norm().item() < limit else None

    def _freeze_embeddings(self, step: int) -> None:
        self.frozen_at = step
        self._rows.requires_grad_(False)
        self._rows.grad = None


def _named_parameters(concept: AttachedConcept) -> dict[str, nn.Parameter]:
    """All trained parameters, in the order of the optimiser's groups."""
    return {
        f"{group}.{number}": parameter
        for group, parameters in _groups(concept).items()
        for number, parameter in enumerate(parameters)
    }


def _groups(concept: AttachedConcept) -> dict[str, list[nn.Parameter]]:
    """What is trained, by learning rate; factors that are frozen from the start are not."""
    groups = {
        "embedding": concept.embedding_parameters(),
        "text_encoder": concept.text_encoder_lora_parameters(),
        "unet": concept.unet_lora_parameters(),
    }
    trained = {name: [p for p in group if p.requires_grad] for name, group in groups.items()}
    return {name: group for name, group in trained.items() if group}


def _optimizer(concept: AttachedConcept, settings: TuningSettings) -> torch.optim.AdamW:
    rates = settings.learning_rates
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": getattr(rates, name), "peak": getattr(rates, name)}
            for name, parameters in _groups(concept).items()
        ],
        betas=BETAS,
        weight_decay=settings.weight_decay,
    )
