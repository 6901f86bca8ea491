"""Collecting garbage: what uploads and changes left behind and nothing refers to.

It may run at any time, beside uploads. A blob is deleted inside the transaction that makes sure
that nothing refers to it: whoever refers to it next waits, and then sees that it has to be sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from mos_center.domain.access import SYSTEM, Caller, Role, Scope
from mos_center.domain.compositions import CompositionRules
from mos_center.domain.ports import BlobStore, Database, StoredBlob
from mos_center.domain.states import SubmissionState
from mos_center.service.composition_pictures import release_pictures
from mos_center.service.models import ModelService
from mos_center.service.rejection import refuse
from mos_center.service.submissions import find_submission, record_decision

log = logging.getLogger(__name__)

ABANDONED = "abandoned"
KEPT = timedelta(days=30)
# Writers wait while one batch is looked up and deleted.
_BATCH = 50


@dataclass(frozen=True)
class Garbage:
    """What was removed, or would be."""

    submissions: int = 0
    blobs: int = 0
    bytes: int = 0
    uploads: int = 0
    answers: int = 0
    events: int = 0
    expired: int = 0
    released: int = 0
    compositions: int = 0


class GarbageService:
    """Removes what is older than `grace` and belongs to nothing.

    Model versions that nobody points at expire after `retention`; None: never. `compositions` says
    how long their pictures are kept.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        grace: timedelta,
        retention: timedelta | None = None,
        compositions: CompositionRules | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._grace = grace
        self._retention = retention
        self._compositions = compositions or CompositionRules()

    def collect(self, *, caller: Caller, dry_run: bool = False) -> Garbage:
        """Remove it and say how much; with `dry_run` only say."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        now = datetime.now(UTC)
        before = now - self._grace
        submissions = self._give_up(before, dry_run)
        expired, released = self._retire(now, dry_run)
        compositions = release_pictures(
            self._database, self._blobs, self._compositions.keep, now, dry_run=dry_run
        )
        uploads = self._blobs.forget_uploads(before, dry_run=dry_run)
        if not dry_run:
            uploads += self._blobs.sweep()
        blobs = self.free_blobs(before, dry_run)
        answers, events = (0, 0) if dry_run else self._prune(now - KEPT)
        size = sum(blob.size for blob in blobs)
        found = Garbage(
            submissions,
            len(blobs),
            size,
            uploads,
            answers,
            events,
            expired,
            released,
            compositions,
        )
        log.info("garbage.collected dry_run=%s blobs=%d bytes=%d", dry_run, found.blobs, size)
        return found

    def _give_up(self, before: datetime, dry_run: bool) -> int:
        """Reject what nobody went on uploading."""
        with self._database.read() as transaction:
            ids = transaction.submissions.untouched(before)
        if dry_run:
            return len(ids)
        return sum(self._reject(submission_id, before) for submission_id in ids)

    def _reject(self, submission_id: str, before: datetime) -> bool:
        with self._database.write() as transaction:
            # Looked up again: its sender may have come back meanwhile.
            if submission_id not in transaction.submissions.untouched(before):
                return False
            submission = find_submission(transaction, submission_id)
            assert submission.state is SubmissionState.UPLOADING
            refused = refuse(transaction, self._blobs, submission, ABANDONED)
            record_decision(transaction, submission, refused, SYSTEM)
        return True

    def _retire(self, now: datetime, dry_run: bool) -> tuple[int, int]:
        """Tombstone old model versions, and let go of the files of those tombstoned before."""
        models = ModelService(self._database, self._blobs)
        released = models.release(now - self._grace, dry_run=dry_run)
        if self._retention is None:
            return 0, len(released)
        return len(models.expire(now - self._retention, dry_run=dry_run)), len(released)

    def free_blobs(self, before: datetime, dry_run: bool) -> list[StoredBlob]:
        """Delete the old blobs that nothing refers to, and return them."""
        old = (blob for blob in self._blobs.blobs() if blob.changed < before)
        found: list[StoredBlob] = []
        for batch in _batches(old):
            digests = {blob.digest: blob for blob in batch}
            if dry_run:
                with self._database.read() as transaction:
                    free = transaction.blobs.unreferred(digests)
            else:
                with self._database.write() as transaction:
                    free = transaction.blobs.collect(digests)
                    for digest in free:
                        self._blobs.delete(digest)
            found.extend(digests[digest] for digest in free)
        return found

    def _prune(self, before: datetime) -> tuple[int, int]:
        """Drop remembered answers and delivered events that are old; return how many."""
        with self._database.write() as transaction:
            return transaction.idempotency.prune(before), transaction.outbox.prune(before)


def _batches(blobs: Iterator[StoredBlob]) -> Iterator[list[StoredBlob]]:
    while batch := list(islice(blobs, _BATCH)):
        yield batch
