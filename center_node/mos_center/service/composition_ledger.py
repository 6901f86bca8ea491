"""What a worker reads and tells about compositions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, MosError, NotFound, Unavailable

from mos_center.domain.access import SYSTEM
from mos_center.domain.compositions import Composition, CompositionPlan, CompositionState
from mos_center.domain.jobs import Job
from mos_center.domain.models import Failure, Progress, StoredFile
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.service.compositions import check_drawable, job_of, record_composition


class CompositionLedgerService:
    """Implements `domain.ports.CompositionLedger`."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def unfinished(self) -> tuple[Job, ...]:
        with self._database.read() as transaction:
            return tuple(job_of(one) for one in transaction.compositions.unfinished())

    def begin(self, composition_id: str) -> CompositionPlan | None:
        with self._database.write() as transaction:
            composition = _unfinished(transaction, composition_id)
            if composition is None:
                return None
            version = transaction.models.get(composition.model, composition.version)
            if version is None:
                raise NotFound(f"There is no model {composition.ref}.")
            check_drawable(transaction, version)
            if composition.state is CompositionState.QUEUED:
                composition = replace(
                    composition, state=CompositionState.RUNNING, started_at=datetime.now(UTC)
                )
                transaction.compositions.update(composition)
            return CompositionPlan(composition, version)

    def progress(self, composition_id: str, done: int, total: int, message: str) -> bool:
        with self._database.write() as transaction:
            composition = _unfinished(transaction, composition_id)
            if composition is None:
                return False
            moved = replace(composition, progress=Progress(done, total, message))
            transaction.compositions.update(moved)
        return True

    def drawn(self, composition_id: str, number: int, picture: StoredFile) -> None:
        with self._database.write() as transaction:
            if _unfinished(transaction, composition_id) is None:
                raise Conflict(f"Composition {composition_id} is finished.")
            transaction.compositions.add_picture(composition_id, number, picture)
            # After the reference is written, so that nobody deletes the file meanwhile.
            if not self._blobs.exists(picture.sha256):
                raise Unavailable(
                    f"Picture {number} is not in the store.", hint="Put it again, then tell again."
                )

    def done(self, composition_id: str) -> None:
        self._finish(composition_id, CompositionState.DONE)

    def failed(self, composition_id: str, error: MosError) -> None:
        told = Failure(error.code, error.message, error.hint)
        self._finish(composition_id, CompositionState.FAILED, told)

    def _finish(
        self, composition_id: str, state: CompositionState, error: Failure | None = None
    ) -> None:
        with self._database.write() as transaction:
            composition = _unfinished(transaction, composition_id)
            if composition is None:
                return
            ended = replace(composition, state=state, error=error, finished_at=datetime.now(UTC))
            transaction.compositions.update(ended)
            record_composition(transaction, ended, composition.state, SYSTEM.name)


def _unfinished(transaction: Transaction, composition_id: str) -> Composition | None:
    composition = transaction.compositions.get(composition_id)
    return None if composition is None or composition.state.is_finished else composition
