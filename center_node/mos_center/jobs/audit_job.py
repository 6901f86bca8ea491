"""The job behind an audit of a concept's statistics: record again, compare, write down."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from mos_protocol.errors import JobFailed, MosError

from mos_center.domain.jobs import Job
from mos_center.domain.ports import AuditLedger, BlobStore
from mos_center.fusion.audit import audit_concept
from mos_center.fusion.sources import BaseSource
from mos_center.jobs.durable import Steps
from mos_center.jobs.endings import unexpected
from mos_center.jobs.recipes import concept_source

log = logging.getLogger(__name__)

_LOST = JobFailed("The audit's job was lost.", hint="Ask for another audit.")
_KILLED = JobFailed("The audit ended its worker again and again.", hint="Look at the workers.")


class ConceptAuditJob:
    """Runs the audits that a ledger describes."""

    def __init__(self, ledger: AuditLedger, blobs: BlobStore) -> None:
        self._ledger = ledger
        self._blobs = blobs

    def unfinished(self) -> Sequence[Job]:
        """The audits that are to be done."""
        return self._ledger.unfinished()

    def run(self, audit_id: str, step: Steps) -> None:
        """Audit, or tell the ledger why not."""
        try:
            step("audit", partial(self._audit, audit_id))
        except MosError as error:
            self._ledger.failed(audit_id, error)
        except Exception as error:
            log.exception("audit.crashed id=%s", audit_id)
            self._ledger.failed(audit_id, unexpected("audit", audit_id, error))

    def lost(self, job_id: str, *, killed: bool) -> bool:
        """Its job ended and nobody heard of it: it is not run again."""
        self._ledger.failed(job_id, _KILLED if killed else _LOST)
        return False

    def _audit(self, audit_id: str) -> None:
        plan = self._ledger.begin(audit_id)
        if plan is None:
            return
        base = BaseSource(plan.base.name, plan.base.path, plan.base.layer_map, prior={})
        result = audit_concept(base, concept_source(plan.concept, self._blobs))
        self._ledger.done(audit_id, result)
