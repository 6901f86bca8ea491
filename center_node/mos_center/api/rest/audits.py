"""Audits of a concept's statistics, for curators."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from fastapi import APIRouter, status

from mos_center.api.rest.context import (
    Answer,
    Caller,
    CenterHere,
    Page,
    Version,
    needs_token,
    problems,
)
from mos_center.domain.audits import ConceptAudit

router = APIRouter(prefix="/v1/concepts", tags=["concepts"], dependencies=[needs_token])


class Audit(Answer):
    """One audit; `result` holds its verdict, or the error of a failed one."""

    id: str
    state: str
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    result: dict[str, Any] | None

    @classmethod
    def of(cls, audit: ConceptAudit) -> Self:
        return cls(
            id=audit.id,
            state=audit.state.value,
            requested_by=audit.requested_by,
            created_at=audit.created_at,
            finished_at=audit.finished_at,
            result=None if audit.result is None else dict(audit.result),
        )


@router.get("/{owner}/{name}/{version}/audits", responses=problems(404))
def list_audits(
    owner: str, name: str, version: Version, center: CenterHere, caller: Caller
) -> Page[Audit]:
    """Every audit of this version, newest first."""
    found = center.concept_audits.of(owner, name, version, caller=caller)
    return Page(items=[Audit.of(audit) for audit in found], next_cursor=None)


@router.post(
    "/{owner}/{name}/{version}/audits",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(404, 409),
)
def request_audit(
    owner: str, name: str, version: Version, center: CenterHere, caller: Caller
) -> Audit:
    """Have a worker record the concept's moments again and compare; one at a time per version."""
    return Audit.of(center.concept_audits.request(owner, name, version, caller=caller))
