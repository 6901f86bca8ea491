"""Tuned concepts as packages: tuned once, recorded as often as a study asks for another way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from mos_client.concept_builder import PackageOptions, tune_concept
from mos_client.tuning.settings import TuningSettings
from tinyworld.concepts import CONCEPTS

from reproduction.recipes import COMMON, Recipe
from reproduction.workspace import BASE, Shard, Workspace

OWNER = "world"
PREVIEW_STEPS = 1
"""Nobody looks at these packages' previews."""


def package(space: Workspace, recipe: Recipe, concept: str, recording: str | None = None) -> Path:
    """The folder of the concept's package; `recording` other than the recipe's own is suffixed."""
    name = concept if recording in (None, recipe.recording) else f"{concept}.{recording}"
    return space.root / "packages" / recipe.name / name


def tune(space: Workspace, recipe: Recipe, concept: str, recording: str | None = None) -> Path:
    """Tune, unless that was done, and write the package."""
    out = package(space, recipe, concept, recording)
    return tune_concept(
        _settings(space, recipe, concept),
        space.pictures(concept) / "tune",
        out,
        space.root / "states" / recipe.name / concept,
        base=space.base,
        prior=space.prior,
        options=PackageOptions(
            recording=cast(Any, recording or recipe.recording), preview_steps=PREVIEW_STEPS
        ),
    )


def tune_all(
    space: Workspace,
    recipes: Sequence[Recipe],
    concepts: Sequence[str],
    shard: Shard,
    recordings: Sequence[str | None] = (None,),
) -> None:
    """Tune what is missing of our shard; several processes on one folder share the work."""
    tasks = [(r, name, kind) for r in recipes for name in concepts for kind in recordings]
    for index, (recipe, concept, recording) in enumerate(tasks):
        out = package(space, recipe, concept, recording)
        if not shard.takes(index) or out.exists():
            continue
        with space.claimed(space.root / "states" / recipe.name / f"{concept}.claim") as ours:
            if ours and not out.exists():
                print(f"  tune     │ {recipe.name} {out.name}", flush=True)
                tune(space, recipe, concept, recording)


def _settings(space: Workspace, recipe: Recipe, concept: str) -> TuningSettings:
    known = CONCEPTS[concept]
    chosen = {**COMMON, **recipe.settings, "device": space.device}
    profile = space.profile
    if profile.tuning_steps is not None:
        chosen["steps"] = profile.tuning_steps
    if profile.regularisation_images is not None and "regularisation_images" in chosen:
        chosen["regularisation_images"] = profile.regularisation_images
    return TuningSettings.of(
        recipe.method,
        name=f"{OWNER}/{concept}",
        words=known.words[: recipe.words],
        class_word=known.class_word,
        base=str(BASE),
        base_name="tinyworld",
        **chosen,
    )
