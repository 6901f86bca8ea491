"""Whether a center can work: its database and its blob store answer, and its queues move."""

from __future__ import annotations

import time
from collections.abc import Callable

from mos_protocol.errors import MosError
from mos_protocol.names import Digest

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.health import Health, Probe, Queues
from mos_center.domain.ports import BlobStore, Database

_NO_BLOB = Digest("0" * 64)


class HealthService:
    """Asks what everything else depends on."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def check(self) -> None:
        """Raise `Unavailable` unless the database and the store answer."""
        self._read()
        self._look()

    def probes(self, *, caller: Caller) -> Health:
        """How the database and the store are; what is broken is told, and raises nothing."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        database = _probe(self._database.kind, self._read)
        return Health(database, self._revision(database), _probe(self._blobs.kind, self._look))

    def queues(self, *, caller: Caller) -> Queues:
        """How much there is by state, and what waits for workers."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            counts = transaction.counts
            return Queues(
                submissions=counts.submissions(),
                fusions=counts.fusions(),
                priorities=counts.priorities(),
                oldest=counts.oldest_queued(),
                audits=counts.unfinished_audits(),
            )

    def _revision(self, database: Probe) -> str | None:
        try:
            return self._database.revision() if database.is_healthy else None
        except MosError:
            # It went away after it had answered.
            return None

    def _read(self) -> None:
        with self._database.read() as transaction:
            transaction.tokens.any()

    def _look(self) -> None:
        self._blobs.exists(_NO_BLOB)


def _probe(kind: str, look: Callable[[], None]) -> Probe:
    began, error = time.perf_counter(), ""
    try:
        look()
    except MosError as failure:
        error = failure.message
    except OSError as failure:
        # A disk that is gone or that may not be read.
        error = failure.strerror or type(failure).__name__
    return Probe(kind, 1000 * (time.perf_counter() - began), error)
