"""Committing a package: every file is checked before the concept gets a version."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mos_protocol.errors import Conflict, InvalidPackage, NotFound
from mos_protocol.names import Digest
from mos_protocol.package import check_file, check_manifest

from mos_center.domain.models import BaseRecord, Review, Submission
from mos_center.domain.ports import ActivationReducer, BlobStore, Database, Transaction
from mos_center.domain.states import SubmissionState, check_submission_transition
from mos_center.service.reduction import keep_reduced, reduced_files
from mos_center.service.rejection import refuse
from mos_center.service.submissions import find_submission, missing_files

log = logging.getLogger(__name__)


class ValidationService:
    """Turns an uploaded package into a concept version, or refuses it."""

    def __init__(
        self, database: Database, blobs: BlobStore, review: Review, reducer: ActivationReducer
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._review = review
        self._reducer = reducer

    def commit(self, submission_id: str) -> Submission:
        """Validate the package and give it a version; again: the same answer.

        Files of raw activations are replaced by their second moments; the manifest stays as sent.
        Raises `Conflict` while files are missing or when it was rejected before, and
        `InvalidPackage` when a file is not what it must be: then nothing of it is kept.
        A process killed in here leaves `validating`, from which the next commit goes on.
        """
        submission, base = self._start(submission_id)
        if submission.state is not SubmissionState.VALIDATING:
            return submission
        try:
            self._check(submission, base)
            with reduced_files(submission.manifest, self._blobs, self._reducer) as reduced:
                return self._accept(submission.id, reduced)
        except InvalidPackage as error:
            if self._refuse(submission.id, error):
                raise
        except (NotFound, FileNotFoundError):
            pass
        # Another commit of this package ended meanwhile, and what it reduced is gone.
        return self._settled(submission.id)

    def _start(self, submission_id: str) -> tuple[Submission, BaseRecord]:
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
            if submission.state not in (SubmissionState.UPLOADING, SubmissionState.VALIDATING):
                return submission, base
            missing = missing_files(submission, self._blobs)
            state = SubmissionState.UPLOADING if missing else SubmissionState.VALIDATING
            submission = _moved(transaction, submission, state)
        if missing:
            raise Conflict(
                f"{len(missing)} files of the package have not arrived, first {missing[0].path}.",
                hint="Offer the manifest again and send what it lists as missing.",
            )
        return submission, base

    def _check(self, submission: Submission, base: BaseRecord) -> None:
        check_manifest(submission.manifest, base.layer_map)
        for entry in submission.manifest.files:
            with self._blobs.local_path(Digest(entry.sha256)) as path:
                check_file(path, entry, submission.manifest, base.layer_map)

    def _refuse(self, submission_id: str, error: InvalidPackage) -> bool:
        """Refuse the package and tell whether it was still to be decided."""
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is not SubmissionState.VALIDATING:
                return False
            refuse(transaction, self._blobs, submission, error.message)
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
        state = (
            SubmissionState.APPROVED
            if self._review is Review.AUTOMATIC
            else SubmissionState.PENDING_REVIEW
        )
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is not SubmissionState.VALIDATING:
                return submission
            # Kept when the same package had passed before and was then rejected by a reviewer.
            version = submission.version or 1 + transaction.submissions.last_version(
                submission.owner, submission.name
            )
            accepted = _moved(transaction, replace(submission, version=version), state)
            keep_reduced(transaction, self._blobs, submission, reduced)
        log.info(
            "submission.accepted id=%s version=%d reduced=%d", accepted.id, version, len(reduced)
        )
        return accepted


def _moved(transaction: Transaction, submission: Submission, state: SubmissionState) -> Submission:
    if submission.state is state:
        return submission
    check_submission_transition(submission.state, state)
    moved = replace(submission, state=state)
    transaction.submissions.update(moved)
    return moved
