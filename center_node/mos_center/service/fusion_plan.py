"""What a worker is to fuse, and what it publishes, put together from what the center knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mos_protocol.errors import NotFound

from mos_center.domain.models import (
    BaseRecord,
    Fusion,
    FusionConcept,
    FusionPlan,
    ModelVersion,
    PlannedConcept,
    PublishedFile,
    VersionConcept,
)
from mos_center.domain.ports import Transaction
from mos_center.service.submissions import find_submission


def plan_of(transaction: Transaction, fusion: Fusion) -> FusionPlan:
    """All that a worker needs for the fusion; raises `NotFound`."""
    return FusionPlan(
        fusion_id=fusion.id,
        model=fusion.model,
        base=_base(transaction, fusion),
        concepts=tuple(_planned(transaction, concept) for concept in fusion.concepts),
        solver=fusion.solver.value,
        prior_weight=fusion.prior_weight,
        ridge=None if fusion.ridge is None else dict(fusion.ridge),
        lbfgs_steps=None if fusion.lbfgs_steps is None else dict(fusion.lbfgs_steps),
        refine_rounds=fusion.refine_rounds,
        exports=fusion.exports,
        build=fusion.build,
        previews=fusion.previews,
    )


def next_version(
    transaction: Transaction, fusion: Fusion, files: Sequence[PublishedFile]
) -> ModelVersion:
    """The version that publishes `files` as what came of the fusion; raises `NotFound`."""
    base = _base(transaction, fusion)
    return ModelVersion(
        model=fusion.model,
        version=1 + transaction.models.last_version(fusion.model),
        aliases=(),
        base=base.name,
        base_digest=base.digest,
        concepts=tuple(_published(transaction, concept) for concept in fusion.concepts),
        solver=fusion.solver,
        fusion_id=fusion.id,
        build=fusion.build,
        created_at=datetime.now(UTC),
        files=tuple(files),
        requested_by=fusion.requested_by,
    )


def _base(transaction: Transaction, fusion: Fusion) -> BaseRecord:
    base = transaction.bases.get(fusion.base)
    if base is None:
        raise NotFound(f"The base {fusion.base!r} is not registered any more.")
    return base


def _published(transaction: Transaction, concept: FusionConcept) -> VersionConcept:
    manifest = find_submission(transaction, concept.submission_id).manifest
    return VersionConcept(
        concept.name, concept.version, concept.weights, manifest.words, manifest.trigger
    )


def _planned(transaction: Transaction, concept: FusionConcept) -> PlannedConcept:
    manifest = find_submission(transaction, concept.submission_id).manifest
    return PlannedConcept(
        ref=concept.ref,
        weights=concept.weights,
        manifest=manifest,
        files=transaction.submissions.files(concept.submission_id),
    )
