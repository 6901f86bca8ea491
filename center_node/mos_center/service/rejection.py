"""Refusing a package so that nothing of it is left but the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mos_protocol.names import Digest

from mos_center.domain.models import Submission
from mos_center.domain.ports import BlobStore, Transaction
from mos_center.domain.states import SubmissionState, check_submission_transition


def refuse(
    transaction: Transaction, blobs: BlobStore, submission: Submission, reason: str
) -> Submission:
    """Reject the submission and delete the files that nothing else refers to.

    The files go while the transaction holds their rows: whoever refers to one of them next
    waits, and then sees that it has to be sent.
    """
    check_submission_transition(submission.state, SubmissionState.REJECTED)
    rejected = replace(submission, state=SubmissionState.REJECTED, reason=reason)
    transaction.submissions.update(rejected)
    release_files(transaction, blobs, transaction.submissions.forget_files(submission.id))
    blobs.discard(submission.id)
    return rejected


def release_files(transaction: Transaction, blobs: BlobStore, digests: Iterable[Digest]) -> None:
    """Delete those of the files that nothing refers to any more, while nobody else can refer."""
    for digest in transaction.blobs.release(digests):
        blobs.delete(digest)
