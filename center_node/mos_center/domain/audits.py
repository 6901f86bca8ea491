"""Audits of a concept's statistics: its moments are recorded again and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mos_center.domain.models import BaseRecord, PlannedConcept


class AuditState(StrEnum):
    """How far an audit is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_finished(self) -> bool:
        return self in (AuditState.DONE, AuditState.FAILED)


class Verdict(StrEnum):
    """What an audit says of a concept's statistics."""

    PLAUSIBLE = "plausible"
    SUSPICIOUS = "suspicious"


@dataclass(frozen=True)
class ConceptAudit:
    """One audit; `result` has the verdict and the worst layers, or the `error` of a failed one."""

    id: str
    submission_id: str
    state: AuditState
    requested_by: str
    created_at: datetime
    finished_at: datetime | None = None
    result: Mapping[str, object] | None = None


@dataclass(frozen=True)
class AuditPlan:
    """What is to be audited: the base, and the package with its files."""

    base: BaseRecord
    concept: PlannedConcept
