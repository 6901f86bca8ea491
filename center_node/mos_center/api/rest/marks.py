"""What a picture's watermark means."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path

from mos_center.api.rest.context import Answer, Caller, CenterHere, needs_token, problems
from mos_center.domain import marks, models
from mos_center.domain.states import SubmissionState

router = APIRouter(prefix="/v1/marks", tags=["marks"], dependencies=[needs_token])


class MarkedVersion(Answer):
    """A model version whose build begins with the mark; `concepts` are `owner/name@version`."""

    model: str
    version: int
    base: str
    concepts: list[str]
    owner: str
    created_at: datetime
    tombstoned_at: datetime | None

    @classmethod
    def of(cls, version: models.ModelVersion) -> Self:
        return cls(
            model=version.model,
            version=version.version,
            base=version.base,
            concepts=[f"{item.name}@{item.version}" for item in version.concepts],
            owner=version.owner,
            created_at=version.created_at,
            tombstoned_at=version.tombstoned_at,
        )


class MarkedConcept(Answer):
    """A concept version whose package's digest begins with the mark."""

    name: str
    version: int
    trigger: str
    state: SubmissionState

    @classmethod
    def of(cls, concept: marks.MarkedConcept) -> Self:
        return cls(
            name=concept.name,
            version=concept.version,
            trigger=concept.trigger,
            state=concept.state,
        )


class Mark(Answer):
    """Everything that a mark means, as far as the caller may see."""

    mark: str
    models: list[MarkedVersion]
    concepts: list[MarkedConcept]
    bases: list[str]


@router.get("/{mark}", responses=problems(404))
def get_mark(
    mark: Annotated[str, Path(pattern=marks.MARK_PATTERN)], center: CenterHere, caller: Caller
) -> Mark:
    """What made a picture with this mark: model versions, a tuned concept, or a base."""
    found = center.marks.find(mark, caller=caller)
    return Mark(
        mark=mark,
        models=[MarkedVersion.of(item) for item in found.versions],
        concepts=[MarkedConcept.of(item) for item in found.concepts],
        bases=list(found.bases),
    )
