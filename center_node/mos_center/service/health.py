"""Whether a center can work: its database and its blob store answer."""

from __future__ import annotations

from mos_protocol.names import Digest

from mos_center.domain.ports import BlobStore, Database

_NO_BLOB = Digest("0" * 64)


class HealthService:
    """Asks what everything else depends on."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def check(self) -> None:
        """Raise `Unavailable` unless the database and the store answer."""
        with self._database.read() as transaction:
            transaction.tokens.any()
        self._blobs.exists(_NO_BLOB)
