"""The fusion that a request means: the one that is known of its build, or a new one."""

from __future__ import annotations

from datetime import UTC, datetime

from mos_center.domain.access import Caller
from mos_center.domain.build import ENGINE_VERSION
from mos_center.domain.ids import new_id
from mos_center.domain.models import Fusion, FusionConcept
from mos_center.domain.policy import Quota
from mos_center.domain.ports import Transaction
from mos_center.domain.request_context import request_id
from mos_center.domain.states import FusionState
from mos_center.service.fusion_checks import Build, examine
from mos_center.service.fusion_concepts import Member
from mos_center.service.fusion_findings import raise_first
from mos_center.service.fusion_lookup import record_fusion
from mos_center.service.fusion_requests import FusionRequest


def find_or_add(
    transaction: Transaction, request: FusionRequest, caller: Caller, quota: Quota
) -> tuple[Fusion, bool]:
    """Return the fusion of the build that `request` means, and whether it was added now.

    Raises the first error that stands against it.
    """
    examined = examine(transaction, request, caller, quota)
    raise_first(examined.findings)
    assert examined.build is not None
    if examined.build.known is not None:
        return examined.build.known, False
    transaction.models.claim(request.model, caller.name, datetime.now(UTC))
    fusion = _fusion(request, examined.build, examined.members, caller)
    transaction.fusions.add(fusion)
    record_fusion(transaction, fusion, None, caller)
    return fusion, True


def _fusion(
    request: FusionRequest, build: Build, members: tuple[Member, ...], caller: Caller
) -> Fusion:
    solving = build.solving
    return Fusion(
        id=new_id(),
        model=request.model,
        base=build.base.name,
        concepts=tuple(
            FusionConcept(
                member.submission.id,
                member.submission.concept,
                member.submission.version or 0,
                member.weights,
            )
            for member in members
        ),
        solver=solving.solver,
        prior_weight=solving.prior_weight,
        ridge=solving.ridge,
        lbfgs_steps=solving.lbfgs_steps,
        refine_rounds=solving.refine_rounds,
        exports=solving.exports,
        build=build.digest,
        state=FusionState.QUEUED,
        created_at=datetime.now(UTC),
        requested_by=caller.name,
        priority=request.priority,
        request_id=request_id.get(),
        engine=ENGINE_VERSION,
        refusion_of=request.refusion_of,
        previews=request.previews,
    )
