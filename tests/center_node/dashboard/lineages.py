"""Lineages made up for drawing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mos_center.domain.access import Visibility
from mos_center.domain.lineage import Ingredient, Lineage
from mos_center.domain.models import Fusion, ModelVersion, Solver
from mos_center.domain.states import FusionState, SubmissionState
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

_BUILD = Digest("ab" * 32)
_THEN = datetime(2026, 1, 1, tzinfo=UTC)


def ingredient(name: str, *, withdrawn: bool = False, listed: bool = True) -> Ingredient:
    """The first version of a concept."""
    return Ingredient(
        submission_id=name,
        name=name,
        version=1,
        weights=PartWeights(),
        manifest_digest=_BUILD,
        state=SubmissionState.WITHDRAWN if withdrawn else SubmissionState.APPROVED,
        visibility=Visibility.PUBLIC,
        licence="",
        consent="",
        is_listed=listed,
    )


def lineage_of(*ingredients: Ingredient, **relations: Any) -> Lineage:
    """The lineage of demo@2 on the base called small."""
    nothing = {"predecessor": None, "refusion_of": None, "refusions": ()}
    version = ModelVersion(
        "demo", 2, (), "small", _BUILD, (), Solver.CLOSED_FORM, "f", _BUILD, _THEN, ()
    )
    fusion = Fusion(
        id="f",
        model="demo",
        base="small",
        concepts=(),
        solver=Solver.CLOSED_FORM,
        prior_weight=0.0,
        ridge=None,
        lbfgs_steps=None,
        refine_rounds=0,
        exports=(),
        build=_BUILD,
        state=FusionState.PUBLISHED,
        created_at=_THEN,
        requested_by="ada",
    )
    return Lineage(
        version=version, fusion=fusion, ingredients=ingredients, **{**nothing, **relations}
    )
