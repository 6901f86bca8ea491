"""Audits of a concept's statistics: asking for one, and what a worker is told and tells."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, MosError, NotFound
from mos_protocol.part_weights import PartWeights

from mos_center.domain.access import SYSTEM, Caller, Role, Scope
from mos_center.domain.audits import AuditPlan, AuditState, ConceptAudit
from mos_center.domain.events import AuditEvent
from mos_center.domain.ids import new_id
from mos_center.domain.jobs import AUDIT, Job, other_job
from mos_center.domain.models import PlannedConcept, Submission
from mos_center.domain.ports import Database, FusionQueue, Transaction
from mos_center.domain.states import CATALOGUED

log = logging.getLogger(__name__)


class ConceptAuditService:
    """What curators ask for."""

    def __init__(self, database: Database, queue: FusionQueue) -> None:
        self._database = database
        self._queue = queue

    def request(self, owner: str, name: str, version: int, *, caller: Caller) -> ConceptAudit:
        """Have the concept's moments recorded again; while one waits or runs, it is that one.

        Raises `NotFound`, and `Conflict` when its files are gone.
        """
        caller.require(Scope.ADMIN, Role.CURATOR)
        with self._database.write() as transaction:
            submission = _find(transaction, owner, name, version)
            known = [a for a in transaction.audits.of(submission.id) if not a.state.is_finished]
            if known:
                return known[0]
            if not transaction.submissions.files(submission.id):
                raise Conflict(
                    f"The files of {owner}/{name}@{version} are gone.",
                    hint="Audit a version that still has them.",
                )
            audit = ConceptAudit(
                new_id(), submission.id, AuditState.QUEUED, caller.name, datetime.now(UTC)
            )
            transaction.audits.add(audit)
            _record(transaction, audit, submission, caller.name)
        self._queue.enqueue(_job(audit.id))
        log.info("concept_audit.requested id=%s by=%s", audit.id, caller.name)
        return audit

    def of(
        self, owner: str, name: str, version: int, *, caller: Caller
    ) -> tuple[ConceptAudit, ...]:
        """Every audit of the version, newest first; raises `NotFound`."""
        caller.require(Scope.ADMIN, Role.CURATOR)
        with self._database.read() as transaction:
            return transaction.audits.of(_find(transaction, owner, name, version).id)


class AuditLedgerService:
    """Implements `domain.ports.AuditLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unfinished(self) -> tuple[Job, ...]:
        with self._database.read() as transaction:
            return tuple(_job(audit_id) for audit_id in transaction.audits.unfinished())

    def begin(self, audit_id: str) -> AuditPlan | None:
        with self._database.write() as transaction:
            audit = transaction.audits.get(audit_id)
            if audit is None or audit.state.is_finished:
                return None
            transaction.audits.update(replace(audit, state=AuditState.RUNNING))
            return _plan(transaction, audit)

    def done(self, audit_id: str, result: Mapping[str, object]) -> None:
        self._finish(audit_id, AuditState.DONE, result)

    def failed(self, audit_id: str, error: MosError) -> None:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        self._finish(audit_id, AuditState.FAILED, {"error": told})

    def _finish(self, audit_id: str, state: AuditState, result: Mapping[str, object]) -> None:
        with self._database.write() as transaction:
            audit = transaction.audits.get(audit_id)
            if audit is None or audit.state.is_finished:
                return
            ended = replace(audit, state=state, result=result, finished_at=datetime.now(UTC))
            transaction.audits.update(ended)
            submission = transaction.submissions.get(audit.submission_id)
            if submission is not None:
                _record(transaction, ended, submission, SYSTEM.name, audit.state)
        log.info("concept_audit.%s id=%s", state.value, audit_id)


def _job(audit_id: str) -> Job:
    return Job(other_job(AUDIT, audit_id))


def _find(transaction: Transaction, owner: str, name: str, version: int) -> Submission:
    found = transaction.submissions.by_version(owner, name, version)
    if found is None or found.state not in CATALOGUED:
        raise NotFound(f"There is no concept {owner}/{name}@{version}.", hint="List the concepts.")
    return found


def _plan(transaction: Transaction, audit: ConceptAudit) -> AuditPlan:
    submission = transaction.submissions.get(audit.submission_id)
    if submission is None:
        raise NotFound(f"There is no submission {audit.submission_id}.")
    base = transaction.bases.get(submission.base)
    if base is None:
        raise NotFound(f"The base {submission.base!r} is not registered any more.")
    files = transaction.submissions.files(submission.id)
    ref = f"{submission.concept}@{submission.version}"
    return AuditPlan(base, PlannedConcept(ref, PartWeights(), submission.manifest, files))


def _record(
    transaction: Transaction,
    audit: ConceptAudit,
    submission: Submission,
    actor: str,
    before: AuditState | None = None,
) -> None:
    verdict = (audit.result or {}).get("verdict")
    after = {
        "state": audit.state.value,
        "concept": f"{submission.concept}@{submission.version}",
        **({"verdict": verdict} if verdict else {}),
    }
    transaction.audit.record(
        AuditEvent(
            actor,
            f"concept_audit.{audit.state.value}",
            f"concept_audit/{audit.id}",
            None if before is None else {"state": before.value},
            after,
        )
    )
