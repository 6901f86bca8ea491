"""Withdrawing concepts: nothing new is made with them, and what they are in is named."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import PermissionDenied

from mos_center.domain.access import Caller
from mos_center.domain.events import Event, EventKind
from mos_center.domain.lineage import AffectedVersion, Withdrawn
from mos_center.domain.models import Failure, ModelVersion, Submission
from mos_center.domain.policy import Withdrawal
from mos_center.domain.ports import BlobStore, Database, FusionQueue, Transaction
from mos_center.domain.states import FusionState, SubmissionState, check_submission_transition
from mos_center.service.concepts import find_concept
from mos_center.service.fusion_lookup import find_fusion, record_fusion
from mos_center.service.models import bury
from mos_center.service.rejection import release_files
from mos_center.service.submissions import record_decision

log = logging.getLogger(__name__)

# More than a concept is ever in; the answer names them all.
_ALL = 100_000


class WithdrawalService:
    """Takes concept versions back, for their owners and for curators."""

    def __init__(
        self, database: Database, blobs: BlobStore, queue: FusionQueue, policy: Withdrawal
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._queue = queue
        self._policy = policy

    def withdraw(
        self, owner: str, name: str, version: int, reason: str, *, caller: Caller
    ) -> Withdrawn:
        """Withdraw one version of a concept; again: the same answer.

        Its files go, unfinished fusions with it fail, and the model versions that contain it are
        listed and, if that is the center's policy, tombstoned.
        """
        with self._database.write() as transaction:
            concept = find_concept(transaction, owner, name, version, caller)
            _check_may_withdraw(concept, caller)
            ended: tuple[str, ...] = ()
            if concept.state is not SubmissionState.WITHDRAWN:
                concept = self._take_back(transaction, concept, reason, caller)
                ended = _end_fusions(transaction, concept, caller)
            self._bury_versions(transaction, concept, caller)
            affected = _affected(transaction, concept)
        for fusion_id in ended:
            self._queue.cancel(fusion_id)
        return Withdrawn(concept, affected, ended)

    def _take_back(
        self, transaction: Transaction, concept: Submission, reason: str, caller: Caller
    ) -> Submission:
        check_submission_transition(concept.state, SubmissionState.WITHDRAWN)
        withdrawn = replace(
            concept,
            state=SubmissionState.WITHDRAWN,
            reason=reason,
            withdrawn_at=datetime.now(UTC),
        )
        transaction.submissions.update(withdrawn)
        files = transaction.submissions.forget_files(concept.id)
        grids = transaction.evaluations.forget_grids_with(concept.id)
        release_files(transaction, self._blobs, (*files, *grids))
        record_decision(transaction, concept, withdrawn, caller)
        return withdrawn

    def _bury_versions(self, transaction: Transaction, concept: Submission, caller: Caller) -> None:
        if self._policy is Withdrawal.KEEP:
            return
        for version in _versions(transaction, concept):
            bury(transaction, version, _told(concept), caller)


def _check_may_withdraw(concept: Submission, caller: Caller) -> None:
    if caller.viewer not in (None, concept.owner):
        raise PermissionDenied(
            f"{concept.concept} belongs to {concept.owner}.",
            hint="Ask its owner or a curator to withdraw it.",
        )


def _end_fusions(transaction: Transaction, concept: Submission, caller: Caller) -> tuple[str, ...]:
    """Fail the queued and running fusions that contain the concept; return their ids."""
    ids = transaction.lineage.unfinished_with(concept.id)
    hint = "Request a fusion without it."
    for fusion_id in ids:
        fusion = find_fusion(transaction, fusion_id)
        failed = replace(
            fusion,
            state=FusionState.FAILED,
            error=Failure("gone", _told(concept), hint),
            finished_at=datetime.now(UTC),
        )
        transaction.fusions.update(failed)
        record_fusion(transaction, failed, fusion.state, caller)
        data = {"fusion": fusion.id, "model": fusion.model, "error": {"code": "gone"}}
        transaction.outbox.add(Event(EventKind.FUSION_FAILED, f"fusion/{fusion.id}", data))
        log.info("fusion.ended id=%s withdrawn=%s", fusion.id, concept.id)
    return ids


def _affected(transaction: Transaction, concept: Submission) -> tuple[AffectedVersion, ...]:
    versions = _versions(transaction, concept)
    remaining = transaction.lineage.approved(version.fusion_id for version in versions)
    return tuple(AffectedVersion(item, remaining.get(item.fusion_id, 0)) for item in versions)


def _versions(transaction: Transaction, concept: Submission) -> tuple[ModelVersion, ...]:
    return transaction.models.with_concept(concept.id, viewer=None, limit=_ALL)


def _told(concept: Submission) -> str:
    return f"{concept.concept}@{concept.version} was withdrawn: {concept.reason}"
