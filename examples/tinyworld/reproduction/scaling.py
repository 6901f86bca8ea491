"""What a fusion keeps against how many concepts are in it, for every way to fuse and to tune.

gain   how far a concept's held-out denoising loss is below that with its class word
kept   the mean gain in the fused model over that in the concepts' own models
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mos_center.fusion.settings import FusionSettings, RidgeTarget, Solver
from mos_protocol.layer_map import Part

from reproduction.drawn import in_fused, in_own
from reproduction.fused import Fusion, fused_model
from reproduction.losses import class_loss, generic_loss, loss_in, own_loss
from reproduction.order import ORDER, sizes_of
from reproduction.recipes import Recipe
from reproduction.workspace import Shard, Workspace

PRIOR_WEIGHT = 0.1


def _solved(name: str, recording: str | None = None, **settings: Any) -> Fusion:
    return Fusion(
        name, FusionSettings(**{"prior_weight": PRIOR_WEIGHT, **settings}), recording=recording
    )


def _all_parts(value: float) -> dict[Part, float]:
    return dict.fromkeys(Part, value)


DEFAULT = _solved("default")
AVERAGE = Fusion("average", FusionSettings(solver=Solver.AVERAGE))
FUSIONS: tuple[Fusion, ...] = (
    DEFAULT,
    AVERAGE,
    Fusion("sum-0.3", FusionSettings(solver=Solver.SUM), weight=0.3),
    Fusion("sum-0.6", FusionSettings(solver=Solver.SUM), weight=0.6),
    Fusion("sum-1", FusionSettings(solver=Solver.SUM)),
    _solved("no-prior", prior_weight=0.0),
    _solved("prior-1", prior_weight=1.0),
    _solved("lbfgs", solver=Solver.LBFGS),
    _solved("lbfgs-50", solver=Solver.LBFGS, lbfgs_steps=dict.fromkeys(Part, 50)),
    _solved("lbfgs-5", solver=Solver.LBFGS, lbfgs_steps=dict.fromkeys(Part, 5)),
    _solved("ridge-1e-6", ridge=_all_parts(1e-6)),
    _solved("ridge-1e-4", ridge=_all_parts(1e-4)),
    _solved("ridge-1e-2", ridge=_all_parts(1e-2)),
    _solved("ridge-1e-1", ridge=_all_parts(1e-1)),
    _solved("ridge-1", ridge=_all_parts(1.0)),
    _solved("zero-ridge-1e-3", ridge_target=RidgeTarget.ZERO),
    _solved("zero-ridge-1e-1", ridge_target=RidgeTarget.ZERO, ridge=_all_parts(1e-1)),
    _solved("kv-ridge-1", ridge={Part.CROSS_KV: 1.0}),
    _solved("text-ridge-1", ridge={Part.TEXT_ENCODER: 1.0}),
    _solved("spatial-ridge-1", ridge={Part.SPATIAL: 1.0}),
    _solved("paper", "paper"),
    # As the paper's public code fuses: no ridge, from the base's weights, its numbers of steps.
    _solved(
        "paper-lbfgs",
        "paper",
        solver=Solver.LBFGS,
        prior_weight=0.0,
        ridge=_all_parts(0.0),
        ridge_target=RidgeTarget.ZERO,
    ),
    _solved("paper-ridge-1", "paper", ridge=_all_parts(1.0)),
    _solved("templates", "templates"),
    _solved("templates-ridge-1", "templates", ridge=_all_parts(1.0)),
    _solved("refined-1", refine_rounds=1),
    _solved("refined-2", refine_rounds=2),
)


@dataclass(frozen=True)
class Scaled:
    """One fusion of the first `size` concepts.

    kept and worst: of all, and of the concept that keeps least (NaN when tuning gained nothing).
    gain and own: mean gains in the fused and in their own models. generic: loss on generic scenes.
    text and image: alignment of a few pictures by the fused model, own_text and own_image: of the
    same by the concepts' own.
    """

    size: int
    kept: float
    worst: float
    gain: float
    own: float
    generic: float
    text: float
    image: float
    own_text: float
    own_image: float


def measure(space: Workspace, recipe: Recipe, fusion: Fusion, concepts: Sequence[str]) -> Scaled:
    """Fuse the concepts and measure each in the result."""
    name = fusion.folder(space, recipe, concepts).name
    found = space.measured(f"fused/{name}", lambda: _losses(space, recipe, fusion, concepts))
    own = {c: class_loss(space, c) - own_loss(space, recipe, c) for c in concepts}
    left = {c: class_loss(space, c) - found["concepts"][c] for c in concepts}
    shares = [left[c] / own[c] for c in concepts if own[c] > 0]
    gained = fmean(own.values())
    alone = space.measured(
        f"drawn/{recipe.name}-{len(concepts)}", lambda: in_own(space, recipe, concepts)
    )
    return Scaled(
        size=len(concepts),
        kept=fmean(left.values()) / gained if gained > 0 else math.nan,
        worst=min(shares, default=math.nan),
        gain=fmean(left.values()),
        own=gained,
        generic=found["generic"],
        text=found["text"],
        image=found["image"],
        own_text=alone["text"],
        own_image=alone["image"],
    )


def scale(
    space: Workspace,
    cases: Sequence[tuple[Recipe, Fusion]],
    concepts: Sequence[str] = ORDER,
    shard: Shard = Shard(),
) -> dict[tuple[str, str], list[Scaled]]:
    """(recipe, fusion) → what is kept at every size that the concepts allow; our shard alone."""
    found: dict[tuple[str, str], list[Scaled]] = {}
    for index, (recipe, fusion) in enumerate(cases):
        if shard.takes(index):
            found[recipe.name, fusion.name] = [
                measure(space, recipe, fusion, concepts[:size]) for size in sizes_of(len(concepts))
            ]
            print(f"  scaling  │ {recipe.name} {fusion.name}", flush=True)
    return found


def _losses(
    space: Workspace, recipe: Recipe, fusion: Fusion, concepts: Sequence[str]
) -> dict[str, Any]:
    with fused_model(space, recipe, concepts, fusion) as model:
        return {
            "concepts": {name: loss_in(space, model, recipe, name) for name in concepts},
            "generic": generic_loss(space, model),
            **in_fused(space, model, recipe, concepts),
        }
