"""What stands against a fusion, before it is requested."""

from __future__ import annotations

from typing import Self

from fastapi import APIRouter

from mos_center.api.rest.context import Answer, Caller, CenterHere, needs_token, problems
from mos_center.api.rest.fusions import Fusion, FusionBody
from mos_center.service import fusion_checks, fusion_findings
from mos_center.service.fusion_findings import FindingKind, Subject

router = APIRouter(prefix="/v1/fusions", tags=["fusions"], dependencies=[needs_token])


class Finding(Answer):
    """One sentence about the request, what to do about it, and the concepts that it is about.

    An `error` keeps the request from being taken; `code` is what it would be answered with.
    """

    kind: FindingKind
    subject: Subject
    concepts: list[str]
    message: str
    hint: str
    code: str | None

    @classmethod
    def of(cls, finding: fusion_findings.Finding) -> Self:
        return cls(
            kind=finding.kind,
            subject=finding.subject,
            concepts=list(finding.concepts),
            message=finding.message,
            hint=finding.hint,
            code=None if finding.error is None else finding.error.code,
        )


class FusionCheck(Answer):
    """Whether the request would be taken, and what it would come to.

    `known` is the fusion of the same build, which would be the answer. `version` is what it is
    published as, or else what the request would become as things stand.
    """

    possible: bool
    findings: list[Finding]
    known: Fusion | None
    version: int | None

    @classmethod
    def of(cls, check: fusion_checks.FusionCheck) -> Self:
        return cls(
            possible=check.is_possible,
            findings=[Finding.of(finding) for finding in check.findings],
            known=None if check.known is None else Fusion.of(check.known),
            version=check.version,
        )


@router.post("/check", responses=problems())
def check_fusion(body: FusionBody, center: CenterHere, caller: Caller) -> FusionCheck:
    """Say all that stands against a request, without making it; nothing is changed or recorded."""
    return FusionCheck.of(center.fusions.check(body.request(), caller=caller))
