"""Committing a package: every file is checked before the concept gets a version."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mos_protocol.errors import Conflict, InvalidPackage, NotFound
from mos_protocol.manifest import FileEntry
from mos_protocol.names import Digest
from mos_protocol.package import check_file, check_manifest

from mos_center.domain.access import SYSTEM, Caller
from mos_center.domain.errors import LeftToWorkers
from mos_center.domain.jobs import VALIDATION, Job, other_job
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.policy import Policy
from mos_center.domain.ports import ActivationReducer, BlobStore, Database, FusionQueue, Transaction
from mos_center.domain.states import SubmissionState, check_submission_transition
from mos_center.service.reduction import keep_reduced, reduced_files, store_reduced
from mos_center.service.rejection import refuse
from mos_center.service.submissions import (
    NOTHING_KNOWN,
    find_submission,
    missing_files,
    own_submission,
    record_decision,
)
from mos_center.service.trust import check_trust
from mos_center.service.uploads import receive_files

log = logging.getLogger(__name__)

_AT_ONCE = 1000
_UNDECIDED = (SubmissionState.UPLOADING, SubmissionState.VALIDATING)


class ValidationService:
    """Turns an uploaded package into a concept version, or refuses it."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        policy: Policy,
        reducer: ActivationReducer,
        queue: FusionQueue,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._policy = policy
        self._reducer = reducer
        self._queue = queue

    def commit(self, submission_id: str, *, caller: Caller) -> Submission:
        """Validate the package and give it a version; again: the same answer.

        Files of raw activations are replaced by their second moments; the manifest stays as sent.
        Where that takes a worker, the answer is a submission that is still `validating`.
        Raises `Conflict` while files are missing or when it was rejected before, and
        `InvalidPackage` when a file is not what it must be: then nothing of it is kept.
        A process killed in here leaves `validating`, from which the next commit goes on.
        """
        with self._database.read() as transaction:
            submission = own_submission(transaction, submission_id, caller)
        received: Mapping[Digest, bool] = NOTHING_KNOWN
        if submission.state in _UNDECIDED:
            received = receive_files(self._database, self._blobs, submission)
        try:
            return self.finish(submission_id, received)
        except LeftToWorkers:
            log.info("submission.left_to_workers id=%s", submission_id)
            self._queue.enqueue(Job(other_job(VALIDATION, submission_id)))
            return self._start(submission_id)[0]

    def finish(
        self, submission_id: str, received: Mapping[Digest, bool] = NOTHING_KNOWN
    ) -> Submission:
        """Validate a package whose files have all come; a worker's part of `commit`.

        `received` says of some files that they are in the store.
        """
        submission, base = self._start(submission_id, received)
        if submission.state is not SubmissionState.VALIDATING:
            return submission
        try:
            self._check(submission, base)
            with reduced_files(submission.manifest, self._blobs, self._reducer) as reduced:
                store_reduced(self._blobs, reduced)
                return self._accept(submission.id, reduced)
        except InvalidPackage as error:
            if self._refuse(submission.id, error):
                raise
        except (NotFound, FileNotFoundError):
            pass
        # Another commit of this package ended meanwhile, and what it reduced is gone.
        return self._settled(submission.id)

    def validating(self) -> tuple[str, ...]:
        """The ids of the submissions that are being validated, or wait for it."""
        with self._database.read() as transaction:
            found = transaction.submissions.find(
                states=[SubmissionState.VALIDATING], viewer=None, limit=_AT_ONCE
            )
        return tuple(submission.id for submission in found)

    def give_up(self, submission_id: str, reason: str) -> None:
        """Refuse a package that can't be validated, unless it was decided meanwhile."""
        self._refuse(submission_id, InvalidPackage("package", reason))

    def _start(
        self, submission_id: str, received: Mapping[Digest, bool] = NOTHING_KNOWN
    ) -> tuple[Submission, BaseRecord]:
        missing = self._missing(submission_id, received)
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            base = transaction.bases.get(submission.base)
            if base is None:
                raise NotFound(f"The base {submission.base!r} is not registered any more.")
            if submission.state is SubmissionState.REJECTED:
                raise Conflict(
                    f"The submission was rejected: {submission.reason}",
                    hint="Mend the package, then offer it again.",
                )
            if submission.state not in _UNDECIDED:
                return submission, base
            state = SubmissionState.UPLOADING if missing else SubmissionState.VALIDATING
            submission = _moved(transaction, submission, state)
        if missing:
            raise Conflict(
                f"{len(missing)} files of the package have not arrived, first {missing[0].path}.",
                hint="Offer the manifest again and send what it lists as missing.",
            )
        return submission, base

    def _missing(self, submission_id: str, received: Mapping[Digest, bool]) -> list[FileEntry]:
        """Which files have not come: asked before writing, for which everybody else would wait.

        None goes away until then but with a refusal, which the state tells.
        """
        with self._database.read() as transaction:
            submission = find_submission(transaction, submission_id)
        if submission.state not in _UNDECIDED:
            return []
        return missing_files(submission, self._blobs, received)

    def _check(self, submission: Submission, base: BaseRecord) -> None:
        check_manifest(submission.manifest, base.layer_map)
        for entry in submission.manifest.files:
            with self._blobs.local_path(Digest(entry.sha256)) as path:
                check_file(path, entry, submission.manifest, base.layer_map)
        check_trust(submission.manifest, base, self._blobs.local_path)

    def _refuse(self, submission_id: str, error: InvalidPackage) -> bool:
        """Refuse the package and tell whether it was still to be decided."""
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is not SubmissionState.VALIDATING:
                return False
            refused = refuse(transaction, self._blobs, submission, error.message)
            record_decision(transaction, submission, refused, SYSTEM)
        log.info("submission.refused id=%s file=%s", submission_id, error.file)
        return True

    def _settled(self, submission_id: str) -> Submission:
        """The submission that another commit accepted; raises `Conflict` if none did."""
        submission, _ = self._start(submission_id)
        if submission.state is SubmissionState.VALIDATING:
            raise Conflict(
                f"A file of submission {submission_id} came and went while it was checked.",
                hint="Commit again.",
            )
        return submission

    def _accept(self, submission_id: str, reduced: Mapping[str, Path]) -> Submission:
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is not SubmissionState.VALIDATING:
                return submission
            # Kept when the same package had passed before and was then rejected by a reviewer.
            version = submission.version or 1 + transaction.submissions.last_version(
                submission.owner, submission.name
            )
            state = self._verdict(transaction, submission)
            accepted = _moved(transaction, replace(submission, version=version), state)
            record_decision(transaction, submission, accepted, SYSTEM)
            keep_reduced(transaction, self._blobs, submission, reduced)
        log.info(
            "submission.accepted id=%s version=%d reduced=%d", accepted.id, version, len(reduced)
        )
        return accepted

    def _verdict(self, transaction: Transaction, submission: Submission) -> SubmissionState:
        """Whether a valid package still needs a reviewer."""
        member = transaction.members.get(submission.submitted_by)
        trusted = member is not None and member.trusted
        if self._policy.review.approves(trusted=trusted):
            return SubmissionState.APPROVED
        return SubmissionState.PENDING_REVIEW


def _moved(transaction: Transaction, submission: Submission, state: SubmissionState) -> Submission:
    if submission.state is state:
        return submission
    check_submission_transition(submission.state, state)
    moved = replace(submission, state=state)
    transaction.submissions.update(moved)
    return moved
