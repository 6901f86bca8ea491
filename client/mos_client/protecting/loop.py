"""Anti-DreamBooth's alternating surrogate and perturbation learning, ASPL.

Van Le et al., ICCV 2023. Every round a copy θ′ of the surrogate θ takes steps on the originals;
the pictures x + δ climb, by the sign of the gradient, its loss

    max L(x + δ; θ′),  ‖δ‖∞ ≤ η;

then θ takes steps on the perturbed pictures. Everything random is drawn from (seed, round, step),
so a run that was stopped goes on as if nothing had happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mos_client.protecting.perturbing import Perturbations, draw_window, view
from mos_client.protecting.photos import Photo
from mos_client.protecting.settings import ProtectionSettings
from mos_client.protecting.surrogate import SurrogateModel
from mos_client.tuning.batches import step_generator
from mos_client.tuning.state import TuningState

_PARAMETER, _CHANGE = "surrogate.", "change."


class ProtectionLoop:
    """One run: take a round, hand out the state, take it back."""

    def __init__(
        self,
        surrogate: SurrogateModel,
        photos: Sequence[Photo],
        settings: ProtectionSettings,
        resolution: int,
    ) -> None:
        self.losses: list[float] = []
        self.perturbations = Perturbations(photos, settings.budget)
        self._surrogate = surrogate
        self._photos = photos
        self._settings = settings
        self._resolution = resolution

    @property
    def done(self) -> bool:
        return len(self.losses) >= self._settings.rounds

    def round(self) -> float:
        """One round; returns the surrogate's mean loss on the perturbed pictures."""
        number, settings = len(self.losses), self._settings
        with self._surrogate.put_back():
            self._learn(number, "originals", lambda photo: self._photos[photo].pixels)
            with self._surrogate.frozen():
                losses = [
                    self._climb(number, step, part)
                    for step in range(settings.perturb_steps)
                    for part in self._parts()
                ]
        self._learn(number, "perturbed", self.perturbations.pixels)
        self.losses.append(sum(losses) / len(losses))
        return self.losses[-1]

    def state(self) -> TuningState:
        """What `restore` needs; the tensors are live, so save it before the next round."""
        learned = {f"{_PARAMETER}{n}": value for n, value in self._surrogate.parameters.items()}
        changes = {f"{_CHANGE}{n}": value for n, value in enumerate(self.perturbations.changes)}
        return TuningState({**learned, **changes}, {}, self.losses)

    def restore(self, state: TuningState) -> None:
        """Go back to a saved state of the same run."""
        values = state.parameters
        names = self._surrogate.parameters
        self._surrogate.restore({name: values[f"{_PARAMETER}{name}"] for name in names})
        changes = [values[f"{_CHANGE}{number}"] for number in range(len(self._photos))]
        self.perturbations.changes = changes
        self.losses = state.losses

    def _parts(self) -> Iterator[range]:
        """Photo numbers in batches."""
        count, size = len(self._photos), self._settings.batch_size
        return (range(start, min(start + size, count)) for start in range(0, count, size))

    def _learn(self, number: int, what: str, pixels: Callable[[int], Tensor]) -> None:
        """Take the surrogate's steps of a round on random photos."""
        settings = self._settings
        optimizer = self._surrogate.optimizer()
        size = min(settings.batch_size, len(self._photos))
        for step in range(settings.learn_steps):
            rng = random.Random(f"{what} {settings.seed} {number} {step}")
            chosen = rng.sample(range(len(self._photos)), size)
            with torch.no_grad():
                latents = self._surrogate.latents(self._views(chosen, pixels, rng))
            generator = step_generator(settings.seed, number, step, what)
            batch = self._surrogate.noised(latents, generator)
            loss = self._surrogate.loss(batch, [self._photos[photo].caption for photo in chosen])
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()

    def _climb(self, number: int, step: int, part: Sequence[int]) -> float:
        """One step of the perturbations of these photos; returns the surrogate's loss before it."""
        settings, photos = self._settings, self._photos
        place = number * settings.perturb_steps + step
        perturbed = {
            photo: self.perturbations.pixels(photo).float().requires_grad_() for photo in part
        }
        purpose = f"climb {settings.seed} {place} {part[0]}"
        latents = self._surrogate.latents(
            self._views(part, perturbed.__getitem__, random.Random(purpose))
        )
        generator = step_generator(settings.seed, place, part[0], "climb")
        batch = self._surrogate.noised(latents, generator)
        loss = self._surrogate.loss(batch, [photos[photo].caption for photo in part])
        gradients = torch.autograd.grad(loss, list(perturbed.values()))
        for photo, gradient in zip(part, gradients, strict=True):
            self.perturbations.climb(photo, gradient)
        return loss.item()

    def _views(
        self, numbers: Sequence[int], pixels: Callable[[int], Tensor], rng: random.Random
    ) -> Tensor:
        """Random windows of photos, (B, 3, R, R) in −1…1."""
        found = [pixels(number).float() for number in numbers]
        return torch.stack([view(one, draw_window(one, rng), self._resolution) for one in found])
