"""The studies by name: each tunes what it needs, measures its shard, and adds to the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tinyworld.concepts import CONCEPTS

from reproduction.recipes import FUSION_AWARE, MIX_OF_SHOW, Recipe
from reproduction.results import Cell, Line, Results
from reproduction.scaling import AVERAGE, DEFAULT, FUSIONS, scale
from reproduction.table import ABLATIONS, METHODS, Alignment, Method, TableStudy
from reproduction.tuned import tune_all
from reproduction.workspace import Shard, Workspace

ALL = "all"
Study = Callable[[Workspace, Sequence[str], Shard, Results], None]


def table(space: Workspace, concepts: Sequence[str], shard: Shard, results: Results) -> None:
    """Every method and ablation, single and fused, by pictures and the CLIP."""
    methods = (*METHODS, *ABLATIONS)
    tune_all(space, _distinct([method.recipe for method in methods]), concepts, shard)
    study = TableStudy(space, concepts)
    study.measure_all(methods, shard)
    if shard == Shard():
        results.concepts, results.seeds = len(concepts), len(space.profile.seeds)
        results.bound = _by_kind(concepts, study.bound)
        results.methods = [_line(study, concepts, method) for method in METHODS]
        results.ablations = [_line(study, concepts, method) for method in ABLATIONS]


def scaling(space: Workspace, concepts: Sequence[str], shard: Shard, results: Results) -> None:
    """What is kept against the number of concepts, for every way to fuse and every method."""
    fusions = [fusion for fusion in FUSIONS if _wanted(fusion.name, space.profile.fusions)]
    recordings = sorted({fusion.recording for fusion in fusions if fusion.recording})
    tune_all(space, [MIX_OF_SHOW], concepts, shard, (None, *recordings))
    others = [method for method in METHODS if method.recipe != MIX_OF_SHOW]
    tune_all(space, [method.recipe for method in others], concepts, shard)
    cases = [(MIX_OF_SHOW, fusion) for fusion in fusions]
    cases += [(method.recipe, method.fusion) for method in others]
    results.scaling = scale(space, cases, concepts, shard)


def tuning(space: Workspace, concepts: Sequence[str], shard: Shard, results: Results) -> None:
    """What tuning can do for fusion: each recipe's own gain, and what is left of it when fused."""
    recipes = [recipe for recipe in FUSION_AWARE if _wanted(recipe.name, space.profile.recipes)]
    tune_all(space, recipes, concepts, shard)
    cases = [(recipe, fusion) for recipe in recipes for fusion in (DEFAULT, AVERAGE)]
    results.tuning = scale(space, cases, concepts, shard)


STUDIES: Mapping[str, Study] = {"table": table, "scaling": scaling, "tuning": tuning}


def _wanted(name: str, chosen: Sequence[str] | None) -> bool:
    return chosen is None or name in chosen


def _distinct(recipes: Sequence[Recipe]) -> list[Recipe]:
    return list({recipe.name: recipe for recipe in recipes}.values())


def _line(study: TableStudy, concepts: Sequence[str], method: Method) -> Line:
    return Line(
        method.label,
        _by_kind(concepts, lambda name: study.single(method, name)),
        _by_kind(concepts, lambda name: study.fused(method, name)),
    )


def _by_kind(concepts: Sequence[str], measure: Callable[[str], Alignment]) -> dict[str, Cell]:
    """Cells of each kind of concept that there is, and of all together."""
    found = {name: measure(name) for name in concepts}
    kinds: dict[str, list[Alignment]] = {ALL: list(found.values())}
    for name, alignment in found.items():
        kinds.setdefault(CONCEPTS[name].kind.value, []).append(alignment)
    return {kind: Cell.over(alignments) for kind, alignments in kinds.items()}
