"""Which blobs are referred to."""

from __future__ import annotations

from collections.abc import Iterable

from mos_protocol.names import Digest
from sqlalchemy import Connection, delete, select, union

from mos_center.storage.tables import base_priors, blobs, submission_files, version_files


class SqlBlobs:
    """Implements `domain.ports.Blobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def release(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        wanted = sorted(set(digests))
        # The row locks keep others from referring to these blobs until this transaction ends.
        locked = set(
            self._connection.scalars(
                select(blobs.c.sha256).where(blobs.c.sha256.in_(wanted)).with_for_update()
            )
        )
        used = set(
            self._connection.scalars(
                union(
                    *(
                        select(table.c.sha256).where(table.c.sha256.in_(wanted))
                        for table in (submission_files, base_priors, version_files)
                    )
                )
            )
        )
        free = tuple(Digest(sha256) for sha256 in sorted(locked - used))
        self._connection.execute(delete(blobs).where(blobs.c.sha256.in_(free)))
        return free
