"""Offering concept packages, and deciding about those that passed validation."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mos_protocol.errors import InvalidPackage, NotFound
from mos_protocol.manifest import MANIFEST_FILE, FileEntry, Manifest, parse_manifest
from mos_protocol.names import Digest
from mos_protocol.package import check_manifest

from mos_center.domain.ids import new_id
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.domain.states import SubmissionState, check_submission_transition
from mos_center.service.rejection import refuse

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MissingBlob:
    """A file that the center lacks, and where to send it when not through the center."""

    entry: FileEntry
    put_url: str | None


@dataclass(frozen=True)
class Offer:
    """A submission, and what has to be sent before it can be committed."""

    submission: Submission
    missing: tuple[MissingBlob, ...]


class SubmissionService:
    """The use cases of submitters and reviewers; uploading and validating have their own."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def offer(self, data: bytes) -> Offer:
        """Take a manifest and say which files are missing; again: the same submission.

        Raises `InvalidPackage`, and then keeps nothing.
        """
        manifest = parse_manifest(data)
        with self._database.read() as transaction:
            base = _base_of(transaction, manifest)
        check_manifest(manifest, base.layer_map)
        with self._database.write() as transaction:
            submission = self._find_or_add(transaction, manifest, base)
        # Only now: from here on nobody deletes a file that this submission refers to.
        missing = self._missing(submission)
        log.info("submission.offered id=%s missing=%d", submission.id, len(missing))
        return Offer(submission, missing)

    def get(self, submission_id: str) -> Submission:
        """Return the submission; raises `NotFound`."""
        with self._database.read() as transaction:
            return find_submission(transaction, submission_id)

    def find(
        self, *, states: Iterable[SubmissionState], before: str | None = None, limit: int
    ) -> tuple[Submission, ...]:
        """Submissions in these states, newest first."""
        with self._database.read() as transaction:
            return transaction.submissions.find(states=states, before=before, limit=limit)

    def approve(self, submission_id: str, caller: str) -> Submission:
        """Let the concept be fused; raises `Conflict` unless it waits for review."""
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is SubmissionState.APPROVED:
                return submission
            check_submission_transition(submission.state, SubmissionState.APPROVED)
            approved = replace(submission, state=SubmissionState.APPROVED)
            transaction.submissions.update(approved)
        _log_decision(submission, approved, caller)
        return approved

    def reject(self, submission_id: str, reason: str, caller: str) -> Submission:
        """Refuse the concept and delete its files."""
        with self._database.write() as transaction:
            submission = find_submission(transaction, submission_id)
            if submission.state is SubmissionState.REJECTED:
                return submission
            rejected = refuse(transaction, self._blobs, submission, reason)
        _log_decision(submission, rejected, caller)
        return rejected

    def _find_or_add(
        self, transaction: Transaction, manifest: Manifest, base: BaseRecord
    ) -> Submission:
        known = transaction.submissions.by_manifest(manifest.digest())
        if known is None:
            submission = Submission(
                id=new_id(),
                manifest=manifest,
                manifest_digest=manifest.digest(),
                base=base.name,
                state=SubmissionState.UPLOADING,
                created_at=datetime.now(UTC),
            )
            transaction.submissions.add(submission)
            return submission
        if known.state is not SubmissionState.REJECTED:
            return known
        again = replace(known, state=SubmissionState.UPLOADING, reason="")
        transaction.submissions.update(again)
        transaction.submissions.refer(again)
        return again

    def _missing(self, submission: Submission) -> tuple[MissingBlob, ...]:
        if submission.state not in (SubmissionState.UPLOADING, SubmissionState.VALIDATING):
            return ()
        return tuple(
            MissingBlob(entry, self._blobs.presigned_put(Digest(entry.sha256)))
            for entry in missing_files(submission, self._blobs)
        )


def find_submission(transaction: Transaction, submission_id: str) -> Submission:
    """Return the submission; raises `NotFound`."""
    submission = transaction.submissions.get(submission_id)
    if submission is None:
        raise NotFound(
            f"There is no submission {submission_id!r}.", hint="Offer the package's manifest first."
        )
    return submission


def missing_files(submission: Submission, blobs: BlobStore) -> list[FileEntry]:
    """The manifest's files that are not in the store, each content once."""
    by_content = {entry.sha256: entry for entry in submission.manifest.files}
    return [entry for entry in by_content.values() if not blobs.exists(Digest(entry.sha256))]


def _base_of(transaction: Transaction, manifest: Manifest) -> BaseRecord:
    base = transaction.bases.by_digest(manifest.base.digest)
    if base is None:
        known = ", ".join(f"{item.name} ({item.digest[:12]}…)" for item in transaction.bases.all())
        raise InvalidPackage(
            MANIFEST_FILE,
            f"tuned on base {manifest.base.name!r} with digest {manifest.base.digest[:12]}…, "
            "which is not registered here",
            hint=f"Tune on a base of this center: {known or 'there is none yet'}.",
        )
    return base


def _log_decision(before: Submission, after: Submission, caller: str) -> None:
    log.info(
        "submission.decided id=%s before=%s after=%s by=%s",
        after.id,
        before.state.value,
        after.state.value,
        caller,
    )
