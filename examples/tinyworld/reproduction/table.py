"""The paper's Table 1 on tinyworld: all methods, single and fused, as the evaluation prescribes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mos_center.fusion.settings import FusionSettings, Solver
from mos_diffusion import load_base
from mos_diffusion.evaluation.alignment import load_clip
from mos_diffusion.evaluation.evaluating import bounds, evaluate
from mos_diffusion.evaluation.scores import Judge, Scores
from mos_diffusion.evaluation.subjects import Subject, concept_subject, model_subject

from reproduction.drawn import case_of, made, sampling
from reproduction.fused import Fusion, fuse
from reproduction.recipes import (
    ALL_LAYERS,
    CUSTOM_DIFFUSION,
    LORA,
    MIX_OF_SHOW,
    P_PLUS,
    Recipe,
)
from reproduction.scaling import AVERAGE, DEFAULT
from reproduction.tuned import package
from reproduction.workspace import CLIP, Shard, Workspace

INSERTED = Fusion("none", FusionSettings(solver=Solver.NONE))
CONSTRAINED = Fusion("custom-diffusion", FusionSettings(solver=Solver.CUSTOM_DIFFUSION))


@dataclass(frozen=True)
class Method:
    """A line of the table: how concepts are tuned, and how they are fused."""

    label: str
    recipe: Recipe
    fusion: Fusion


METHODS: tuple[Method, ...] = (
    Method("P+", P_PLUS, INSERTED),
    Method("Custom Diffusion", CUSTOM_DIFFUSION, CONSTRAINED),
    Method("LoRA", LORA, AVERAGE),
    Method("Mix-of-Show", MIX_OF_SHOW, DEFAULT),
)
ABLATIONS: tuple[Method, ...] = (
    Method("Mix-of-Show, LoRA on all attention", ALL_LAYERS, DEFAULT),
    Method("Mix-of-Show, weights averaged", MIX_OF_SHOW, AVERAGE),
    Method("LoRA, gradient fusion", LORA, DEFAULT),
)


@dataclass(frozen=True)
class Alignment:
    """Text- and image-alignment per prompt and seed, (P, S) each."""

    text: list[list[float]]
    image: list[list[float]]


class TableStudy:
    """Measures cells of the table with some seeds; what was measured before is read again."""

    def __init__(self, space: Workspace, concepts: Sequence[str]) -> None:
        self._space = space
        self._concepts = tuple(concepts)
        self._settings = sampling(space, space.profile.seeds)
        self._cache = made(space)
        self._loaded: tuple[Path, Any] | None = None

    @cached_property
    def judge(self) -> Judge:
        return Judge(load_clip(str(CLIP), self._space.device))

    @cached_property
    def _base(self) -> Subject:
        return model_subject(self._space.base)

    def bound(self, concept: str) -> Alignment:
        """The base with the class word: the most of text-, the least of image-alignment."""

        def measure() -> Scores:
            case = case_of(self._space, concept)
            return bounds(self.judge, self._cache, self._settings, case, self._base)

        return self._measured(f"class/{concept}", measure)

    def single(self, method: Method, concept: str) -> Alignment:
        """The concept's own tuned model."""

        def measure() -> Scores:
            folder = package(self._space, method.recipe, concept)
            case = case_of(self._space, concept, method.recipe)
            with concept_subject(self._base, folder) as own:
                return evaluate(self.judge, self._cache, self._settings, case, own)

        return self._measured(f"{method.recipe.name}/single/{concept}", measure)

    def fused(self, method: Method, concept: str) -> Alignment:
        """The model of all concepts together, fused the method's way."""
        folder = method.fusion.folder(self._space, method.recipe, self._concepts)

        def measure() -> Scores:
            case = case_of(self._space, concept, method.recipe)
            model = model_subject(self._fused_model(method))
            return evaluate(self.judge, self._cache, self._settings, case, model)

        return self._measured(f"{method.recipe.name}/{folder.name}/{concept}", measure)

    def measure_all(self, methods: Sequence[Method], shard: Shard) -> None:
        """Measure whatever is missing of our shard."""
        cells = [(f"class word, {name}", partial(self.bound, name)) for name in self._concepts]
        for method in methods:
            for state in (self.single, self.fused):
                cells += [
                    (f"{method.label}, {state.__name__}, {name}", partial(state, method, name))
                    for name in self._concepts
                ]
        for index, (label, measure) in enumerate(cells):
            if shard.takes(index):
                measure()
                print(f"  table    │ {index + 1}/{len(cells)} {label}", flush=True)

    def _fused_model(self, method: Method) -> Any:
        folder = fuse(self._space, method.recipe, self._concepts, method.fusion)
        if self._loaded is None or self._loaded[0] != folder:
            self._loaded = folder, load_base(folder, device=self._space.device)
        return self._loaded[1]

    def _measured(self, name: str, measure: Any) -> Alignment:
        def as_json() -> dict[str, Any]:
            scores = measure()
            return {name: scores.values[name].tolist() for name in ("text", "image")}

        seeds = "-".join(map(str, self._settings.seeds))
        clip = self.judge.clip.digest[:8]
        found = self._space.measured(f"table/{clip}/{seeds}/{name}", as_json)
        return Alignment(**found)
