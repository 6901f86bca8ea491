"""Which blobs are referred to."""

from __future__ import annotations

from collections.abc import Iterable

from mos_protocol.names import Digest
from sqlalchemy import Connection, delete, select, union

from mos_center.domain.states import SubmissionState
from mos_center.storage.repositories.references import know_blobs
from mos_center.storage.tables import (
    base_priors,
    blobs,
    composition_pictures,
    evaluation_grids,
    submission_files,
    submissions,
    version_files,
)

# Their files may still be on their way.
_UNFINISHED = (SubmissionState.UPLOADING, SubmissionState.VALIDATING)


class SqlBlobs:
    """Implements `domain.ports.Blobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def needed(self) -> dict[Digest, bool]:
        finished = (
            select(submission_files.c.sha256)
            .join(submissions)
            .where(submissions.c.state.not_in(_UNFINISHED))
        )
        others = (base_priors, version_files, composition_pictures, evaluation_grids)
        kept = union(finished, *(select(table.c.sha256) for table in others))
        there = {Digest(sha256): True for sha256 in self._connection.scalars(kept)}
        awaited = self._connection.scalars(select(submission_files.c.sha256).distinct())
        return {Digest(sha256): False for sha256 in awaited} | there

    def release(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        wanted = sorted(set(digests))
        # The row locks keep others from referring to these blobs until this transaction ends.
        locked = set(
            self._connection.scalars(
                select(blobs.c.sha256).where(blobs.c.sha256.in_(wanted)).with_for_update()
            )
        )
        free = self.unreferred(Digest(sha256) for sha256 in locked)
        self._connection.execute(delete(blobs).where(blobs.c.sha256.in_(free)))
        return free

    def collect(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        wanted = tuple(digests)
        # A row that is there can be locked; others who want to refer to the blob wait for it.
        know_blobs(self._connection, wanted)
        return self.release(wanted)

    def unreferred(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        wanted = set(digests)
        referring = (
            submission_files,
            base_priors,
            version_files,
            composition_pictures,
            evaluation_grids,
        )
        queries = (select(table.c.sha256).where(table.c.sha256.in_(wanted)) for table in referring)
        used = set(self._connection.scalars(union(*queries)))
        return tuple(sorted(wanted - used))
