"""How much is measured: on two cores, on a GPU, or just enough to see that all of it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Pictures per prompt, their sampling steps, and noisings per held-out picture (`draws`).

    drawn: pictures that each model of a study is compared by, beside its losses.
    tuning_steps and regularisation_images: None is each recipe's own. fusions and recipes: which
    of a study's cases are measured, None for all. folder: where in the work folder, apart from
    what was tuned otherwise.
    """

    seeds: tuple[int, ...]
    sampling_steps: int = 20
    draws: int = 8
    drawn: int = 20
    tuning_steps: int | None = None
    regularisation_images: int | None = None
    fusions: tuple[str, ...] | None = None
    recipes: tuple[str, ...] | None = None
    folder: str = "."


PROFILES = {
    "quick": Profile(
        seeds=(1, 2),
        sampling_steps=2,
        draws=1,
        drawn=3,
        tuning_steps=8,
        regularisation_images=2,
        fusions=("default", "average", "paper"),
        recipes=("all-prior-0.5", "kv-16-prior-0.5"),
        folder="quick",
    ),
    "cpu": Profile(seeds=(1, 2), draws=4),
    "full": Profile(seeds=tuple(range(1, 51)), drawn=380),
}
