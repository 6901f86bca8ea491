"""Fusing a model version again without the concepts that were withdrawn."""

from __future__ import annotations

from mos_protocol.errors import Conflict, InvalidRequest

from mos_center.domain.access import Caller
from mos_center.domain.lineage import Ingredient
from mos_center.domain.models import Fusion
from mos_center.domain.ports import Database
from mos_center.domain.states import SubmissionState
from mos_center.service.fusion_lookup import check_model_owner, find_fusion
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.service.fusions import FusionService
from mos_center.service.models import find_version


class RefusionService:
    """Offers what is left of a version as a new one of the same model."""

    def __init__(self, database: Database, fusions: FusionService) -> None:
        self._database = database
        self._fusions = fusions

    def request(self, model: str, revision: str, *, caller: Caller) -> tuple[Fusion, bool]:
        """Request the version's fusion with the same settings and its approved concepts.

        Returns the fusion, and whether this request made it. Raises `Conflict` when nothing was
        withdrawn, and `InvalidRequest` when nothing is left.
        """
        with self._database.read() as transaction:
            version = find_version(transaction, model, revision, caller)
            check_model_owner(transaction.models.owner(model), model, caller)
            fusion = find_fusion(transaction, version.fusion_id)
            ingredients = transaction.lineage.ingredients(fusion.id)
        ref = f"{model}@{version.version}"
        return self._fusions.request(_without(fusion, _remaining(ref, ingredients)), caller=caller)


def _remaining(ref: str, ingredients: tuple[Ingredient, ...]) -> list[Ingredient]:
    remaining = [item for item in ingredients if item.state is SubmissionState.APPROVED]
    if len(remaining) == len(ingredients):
        raise Conflict(
            f"No concept of {ref} was withdrawn: there is nothing to leave out.",
            hint="Request a fusion of the concepts that you want.",
        )
    if not remaining:
        raise InvalidRequest(
            f"Every concept of {ref} was withdrawn: nothing is left to fuse.",
            hint="Request a fusion of other concepts.",
        )
    return remaining


def _without(fusion: Fusion, remaining: list[Ingredient]) -> FusionRequest:
    return FusionRequest(
        model=fusion.model,
        base=fusion.base,
        concepts=[WantedConcept(item.name, item.version, item.weights) for item in remaining],
        solver=fusion.solver,
        prior_weight=fusion.prior_weight,
        ridge=fusion.ridge,
        lbfgs_steps=fusion.lbfgs_steps,
        refine_rounds=fusion.refine_rounds,
        exports=fusion.exports,
        refusion_of=fusion.id,
        previews=fusion.previews,
    )
