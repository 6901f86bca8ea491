"""Taking concepts and model versions back, and fusing again what is left."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from fastapi import APIRouter, Response

from mos_center.api.rest.concepts import Concept
from mos_center.api.rest.context import (
    Answer,
    Body,
    Caller,
    CenterHere,
    Name,
    Reason,
    Version,
    needs_token,
    problems,
)
from mos_center.api.rest.fusions import Fusion
from mos_center.api.rest.models import ModelVersion
from mos_center.domain import lineage

router = APIRouter(prefix="/v1", tags=["withdrawal"], dependencies=[needs_token])


class Withdrawal(Body):
    reason: Reason


class AffectedVersion(Answer):
    """A model version that contains the withdrawn concept.

    `aliases` still point at it. `refusion` is where to ask for it again without withdrawn
    concepts, null when nothing is left of it.
    """

    model: str
    version: int
    aliases: list[str]
    tombstoned_at: datetime | None
    tombstone_reason: str
    refusion: str | None

    @classmethod
    def of(cls, affected: lineage.AffectedVersion) -> Self:
        version = affected.version
        address = f"/v1/models/{version.model}/{version.version}/refusion"
        return cls(
            model=version.model,
            version=version.version,
            aliases=list(version.aliases),
            tombstoned_at=version.tombstoned_at,
            tombstone_reason=version.tombstone_reason,
            refusion=address if affected.remaining else None,
        )


class Withdrawn(Answer):
    """A withdrawn concept, what contains it, and the unfinished fusions that failed for it."""

    concept: Concept
    affected: list[AffectedVersion]
    ended_fusions: list[str]

    @classmethod
    def of(cls, withdrawn: lineage.Withdrawn) -> Self:
        return cls(
            concept=Concept.of(withdrawn.concept),
            affected=[AffectedVersion.of(item) for item in withdrawn.affected],
            ended_fusions=list(withdrawn.ended_fusions),
        )


@router.post("/concepts/{owner}/{name}/{version}/withdraw", responses=problems(404, 409))
def withdraw_concept(
    owner: Name,
    name: Name,
    version: Version,
    body: Withdrawal,
    center: CenterHere,
    caller: Caller,
) -> Withdrawn:
    """Withdraw one version of a concept, for ever; for its owner and curators."""
    withdrawn = center.withdrawal.withdraw(owner, name, version, body.reason, caller=caller)
    return Withdrawn.of(withdrawn)


@router.post("/models/{name}/{revision}/tombstone", responses=problems(404))
def tombstone_version(
    name: Name, revision: Name, body: Withdrawal, center: CenterHere, caller: Caller
) -> ModelVersion:
    """Give a version's files out no more, for ever; for the model's owner and curators."""
    return ModelVersion.of(center.models.tombstone(name, revision, body.reason, caller=caller))


@router.post(
    "/models/{name}/{revision}/refusion",
    status_code=202,
    responses=problems(404, 409, 410)
    | {200: {"model": Fusion, "description": "This build is known: here is its fusion"}},
)
def request_refusion(
    name: Name, revision: Name, response: Response, center: CenterHere, caller: Caller
) -> Fusion:
    """Fuse a version again, with the same settings and without its withdrawn concepts."""
    fusion, made = center.refusion.request(name, revision, caller=caller)
    if not made:
        response.status_code = 200
    return Fusion.of(fusion)
