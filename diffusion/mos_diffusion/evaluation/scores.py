"""What was measured of one concept in one model, and what follows from it.

Legend: P prompts, S seeds, m reference pictures, d width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mos_diffusion.evaluation.alignment import (
    Clip,
    Dino,
    Picture,
    image_alignment,
    text_alignment,
)
from mos_diffusion.evaluation.prompts import PromptSet

Values = NDArray[np.float64]
MEASURES = ("text", "image", "dino")


@dataclass(frozen=True)
class Scores:
    """Text-, image- and DINO-alignment of every picture, each (P, S); what was measured of them."""

    prompts: PromptSet
    seeds: tuple[int, ...]
    values: Mapping[str, Values]

    def mean(self, measure: str) -> float:
        """Over all pictures."""
        return float(self.values[measure].mean())

    def summary(self) -> dict[str, Any]:
        """Per measure: mean, standard error over seeds, groups, prompts and the mean per seed."""
        return {
            measure: {
                **estimate(values),
                "groups": {
                    group: estimate(values[rows]) for group, rows in self.prompts.groups.items()
                },
                "prompts": [
                    {"prompt": prompt.text, "group": prompt.group, **estimate(row[None])}
                    for prompt, row in zip(self.prompts.prompts, values, strict=True)
                ],
                "seeds": values.mean(0).tolist(),
            }
            for measure, values in self.values.items()
        }


@dataclass(frozen=True)
class References:
    """Unit embeddings (m, d) of the pictures that show what a concept looks like."""

    clip: torch.Tensor
    dino: torch.Tensor | None = None


class Judge:
    """Scores pictures of many models by one CLIP, and by a DINO if there is one."""

    def __init__(self, clip: Clip, dino: Dino | None = None, batch_size: int = 64) -> None:
        self.clip = clip
        self.dino = dino
        self._batch_size = batch_size

    def references(self, pictures: Sequence[Picture]) -> References:
        """Embed tuning pictures, or pictures of another model: at least one."""
        return References(
            self.clip.pictures(pictures, self._batch_size),
            self.dino.pictures(pictures, self._batch_size) if self.dino else None,
        )

    def scores(
        self,
        pictures: Sequence[Sequence[Picture]],
        prompts: PromptSet,
        class_word: str,
        seeds: Sequence[int],
        references: References | None = None,
    ) -> Scores:
        """Score a table of pictures, a row per prompt and a column per seed.

        Without references there is no image-alignment.
        """
        flat = [picture for row in pictures for picture in row]
        return self.scored(self.references(flat), prompts, class_word, seeds, references)

    def scored(
        self,
        embedded: References,
        prompts: PromptSet,
        class_word: str,
        seeds: Sequence[int],
        references: References | None = None,
    ) -> Scores:
        """The same of pictures that are embedded already, (P·S, d), row by row."""
        texts = self.clip.texts(prompts.described(class_word)).repeat_interleave(len(seeds), 0)
        found = {"text": text_alignment(embedded.clip, texts)}
        if references is not None:
            found["image"] = image_alignment(embedded.clip, references.clip)
            if embedded.dino is not None and references.dino is not None:
                found["dino"] = image_alignment(embedded.dino, references.dino)
        shape = (len(prompts.prompts), len(seeds))
        values = {name: flat.double().reshape(shape).numpy() for name, flat in found.items()}
        return Scores(prompts, tuple(seeds), values)


def estimate(values: Values) -> dict[str, float | None]:
    """Mean of (…, S), and the standard error of the mean over seeds; None of a single seed."""
    by_seed = values.reshape(-1, values.shape[-1]).mean(0)
    count = len(by_seed)
    error = float(by_seed.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    return {"mean": float(by_seed.mean()), "error": error}


def drop(single: Scores, fused: Scores, measure: str = "image") -> dict[str, float | None]:
    """What fusion costs: single minus fused, seed by seed, so that what both share cancels."""
    return drop_of_many([(single, fused)], measure)


def drop_of_many(
    pairs: Sequence[tuple[Scores, Scores]], measure: str = "image"
) -> dict[str, float | None]:
    """The mean over several concepts, each (single, fused)."""
    lost = [single.values[measure] - fused.values[measure] for single, fused in pairs]
    return estimate(np.stack([values.mean(0) for values in lost]))


def average(scores: Sequence[Scores], measure: str) -> dict[str, float | None]:
    """The estimate over several concepts that were sampled with the same seeds."""
    return estimate(np.stack([item.values[measure].mean(0) for item in scores]))
