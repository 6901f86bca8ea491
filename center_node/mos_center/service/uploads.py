"""Taking the bytes of a package's files, one blob at a time and in bounded memory."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from mos_protocol.errors import Conflict, InvalidPackage, InvalidRequest
from mos_protocol.manifest import FileEntry
from mos_protocol.names import Digest

from mos_center.domain.access import SYSTEM, Caller
from mos_center.domain.errors import Incomplete, WrongContent
from mos_center.domain.models import Submission
from mos_center.domain.ports import BlobStore, BlobWriter, Database
from mos_center.domain.states import SubmissionState
from mos_center.service.rejection import refuse
from mos_center.service.submissions import (
    find_submission,
    own_submission,
    record_decision,
)

log = logging.getLogger(__name__)


class UploadService:
    """Opens uploads of blobs that a submission lists."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def begin(self, submission_id: str, digest: Digest, *, caller: Caller) -> Upload:
        """Start to take a blob; raises when the submission doesn't list it or takes none now."""
        with self._database.read() as transaction:
            submission = own_submission(transaction, submission_id, caller)
        entry = _entry(submission, digest)
        _check_takes_files(submission)
        writer = self._blobs.begin(digest, entry.size)
        return Upload(self._database, self._blobs, submission.id, entry, writer)


class Upload:
    """One blob on its way into the store; leaving its context forgets what was not finished."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        submission_id: str,
        entry: FileEntry,
        writer: BlobWriter,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._submission_id = submission_id
        self._entry = entry
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Append; raises `InvalidPackage` when more than the listed size arrives."""
        try:
            self._writer.write(data)
        except WrongContent as error:
            raise self._refusal(error) from None

    def finish(self) -> int:
        """Check what arrived and keep it; return its size.

        Other bytes than the manifest lists reject the whole submission: its sender read them
        from a damaged package. Too few bytes do not: the transfer broke off, and goes on later.
        """
        try:
            self._writer.verify()
        except Incomplete as error:
            raise InvalidPackage(self._entry.path, error.reason, hint=error.hint) from None
        except WrongContent as error:
            raise self._refusal(error) from None
        with self._database.write() as transaction:
            # Looked up again: a refusal meanwhile has deleted the files that it knew of.
            _check_takes_files(find_submission(transaction, self._submission_id))
            self._writer.commit()
            transaction.submissions.touch(self._submission_id, datetime.now(UTC))
        return self._entry.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.abort()

    def _refusal(self, error: WrongContent) -> InvalidPackage:
        return _refuse(self._database, self._blobs, self._submission_id, self._entry, error)


def receive_files(
    database: Database, blobs: BlobStore, submission: Submission
) -> dict[Digest, bool]:
    """Take over what was sent to the store directly, once its content is checked.

    Returns what is there now. Raises `InvalidPackage` as `Upload.finish` does; what broke off is
    missing as before.
    """
    received: dict[Digest, bool] = {}
    staged = blobs.staged(submission.id)
    for entry in submission.manifest.files if staged else ():
        digest = Digest(entry.sha256)
        if digest not in staged or digest in received:
            continue
        try:
            received[digest] = blobs.receive(submission.id, digest, entry.size)
        except Incomplete:
            log.info("upload.broken_off id=%s file=%s", submission.id, entry.path)
        except WrongContent as error:
            raise _refuse(database, blobs, submission.id, entry, error) from None
    return received


def _refuse(
    database: Database,
    blobs: BlobStore,
    submission_id: str,
    entry: FileEntry,
    error: WrongContent,
) -> InvalidPackage:
    """Reject the submission for wrong bytes, and return what its sender is told."""
    refusal = InvalidPackage(
        entry.path,
        f"content does not match the manifest: {error.reason}",
        hint="The file was damaged or changed; write the package again.",
    )
    with database.write() as transaction:
        submission = find_submission(transaction, submission_id)
        if submission.state is SubmissionState.UPLOADING:
            refused = refuse(transaction, blobs, submission, refusal.message)
            record_decision(transaction, submission, refused, SYSTEM)
            log.info("submission.refused id=%s file=%s", submission.id, refusal.file)
    return refusal


def _entry(submission: Submission, digest: Digest) -> FileEntry:
    for entry in submission.manifest.files:
        if entry.sha256 == digest:
            return entry
    raise InvalidRequest(
        f"Submission {submission.id} lists no file with sha256 {digest[:12]!r}….",
        hint="Send only what the answer to Offer lists as missing.",
    )


def _check_takes_files(submission: Submission) -> None:
    if submission.state is not SubmissionState.UPLOADING:
        raise Conflict(
            f"Submission {submission.id} is {submission.state.value} and takes no files.",
            hint="Offer the manifest again to see where it stands.",
        )
