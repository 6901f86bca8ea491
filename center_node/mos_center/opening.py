"""Opening a data folder: database, blob store, and the lock that one server holds."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from mos_protocol.errors import Conflict, InvalidRequest

from mos_center.domain.ports import FusionQueue
from mos_center.moments_reducer import MomentsReducer
from mos_center.service.center import Center, WaitingQueue, assemble
from mos_center.service.fusion_ledger import FusionLedgerService
from mos_center.settings import Settings
from mos_center.storage.database import SqlDatabase
from mos_center.storage.directory import DirectoryBlobStore
from mos_center.storage.migrations import upgrade


class OpenedData:
    """The database and the blob store of one center."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = SqlDatabase(settings.url)
        self.blobs = DirectoryBlobStore(settings.blobs)

    def center(self, queue: FusionQueue | None = None) -> Center:
        """The use cases on this data; without a queue, fusions wait for a worker."""
        return assemble(
            self.database,
            self.blobs,
            queue or WaitingQueue(),
            MomentsReducer(),
            review=self.settings.review,
            open_without_tokens=self.settings.is_loopback,
        )

    def ledger(self) -> FusionLedgerService:
        """What a worker reads and tells."""
        return FusionLedgerService(self.database, self.blobs)


@contextmanager
def opened(settings: Settings) -> Iterator[OpenedData]:
    """Open the data folder, made and upgraded as needed; several processes may."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        data = OpenedData(settings)
    except OSError as error:
        raise InvalidRequest(
            f"The data folder {settings.data} can't be used: {error.strerror}.",
            hint="Name another one with --data or MOS_DATA.",
        ) from None
    try:
        upgrade(data.database.engine)
        yield data
    finally:
        data.database.close()


@contextmanager
def only_server(settings: Settings) -> Iterator[None]:
    """Hold the data folder's lock; raises `Conflict` when another server has it."""
    settings.data.mkdir(parents=True, exist_ok=True)
    with (settings.data / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another mos-center serves {settings.data.resolve()} already.",
                hint="Stop it first, or name another folder with --data.",
            ) from None
        yield
