"""Letting go of the pictures of compositions: nobody keeps other people's pictures for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from mos_center.domain.access import SYSTEM
from mos_center.domain.events import AuditEvent
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.service.rejection import release_files


def release_pictures(
    database: Database,
    blobs: BlobStore,
    keep: timedelta | None,
    now: datetime,
    *,
    dry_run: bool = False,
) -> int:
    """Delete what was kept for `keep`, or was drawn with what is withdrawn by now.

    Returns of how many compositions; with `dry_run` nothing is deleted.
    """
    with database.read() as transaction:
        due = transaction.compositions.releasable(None if keep is None else now - keep)
    for composition_id in () if dry_run else due:
        with database.write() as transaction:
            _release(transaction, blobs, composition_id, now)
    return len(due)


def _release(transaction: Transaction, blobs: BlobStore, composition_id: str, at: datetime) -> None:
    composition = transaction.compositions.get(composition_id)
    if composition is None or composition.released_at is not None:
        return
    transaction.compositions.update(replace(composition, released_at=at))
    digests = transaction.compositions.forget_pictures(composition_id)
    release_files(transaction, blobs, digests)
    event = AuditEvent(
        SYSTEM.name,
        "composition.released",
        f"composition/{composition_id}",
        after={"version": composition.ref},
    )
    transaction.audit.record(event)
