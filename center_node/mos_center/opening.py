"""Opening a data folder: database, blob store, and the lock that one server holds."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from mos_protocol.errors import Conflict, InvalidRequest

from mos_center.domain.ports import BlobStore, FusionQueue
from mos_center.moments_reducer import MomentsReducer
from mos_center.service.center import Center, WaitingQueue, assemble
from mos_center.service.composition_ledger import CompositionLedgerService
from mos_center.service.evaluation_ledger import EvaluationLedgerService
from mos_center.service.fusion_ledger import FusionLedgerService
from mos_center.service.garbage import GarbageService
from mos_center.settings import Settings
from mos_center.storage.blob_cache import BlobCache
from mos_center.storage.database import SqlDatabase
from mos_center.storage.directory import DirectoryBlobStore
from mos_center.storage.migrations import upgrade
from mos_center.storage.s3 import S3BlobStore
from mos_center.storage.s3_client import S3Access, S3Bucket


class OpenedData:
    """The database and the blob store of one center."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = SqlDatabase(settings.url)
        self.blobs = blob_store(settings)

    def center(self, queue: FusionQueue | None = None, *, reduces: bool = True) -> Center:
        """The use cases on this data; without a queue, fusions wait for a worker.

        `reduces`: whether raw activations may be reduced in this process.
        """
        return assemble(
            self.database,
            self.blobs,
            queue or WaitingQueue(),
            MomentsReducer(is_here=reduces),
            self.settings.policy,
        )

    def garbage(self) -> GarbageService:
        """What an operator runs to have room again."""
        grace = timedelta(hours=self.settings.upload_grace_hours)
        days = self.settings.retention_days
        return GarbageService(
            self.database,
            self.blobs,
            grace,
            timedelta(days=days) if days else None,
            self.settings.policy.compositions,
        )

    def composition_ledger(self) -> CompositionLedgerService:
        """What a worker reads and tells about compositions."""
        return CompositionLedgerService(self.database, self.blobs)

    def evaluation_ledger(self) -> EvaluationLedgerService:
        """What a worker reads and tells about evaluations."""
        return EvaluationLedgerService(self.database, self.blobs)

    def ledger(self) -> FusionLedgerService:
        """What a worker reads and tells."""
        return FusionLedgerService(self.database, self.blobs)


def blob_store(settings: Settings) -> BlobStore:
    """The store that the settings name: a bucket, made if needed, or a folder."""
    if not settings.s3_endpoint:
        return DirectoryBlobStore(settings.blobs)
    access = S3Access(
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
    )
    bucket = S3Bucket(access)
    bucket.check()
    public = replace(access, endpoint=settings.s3_public_endpoint or access.endpoint)
    return S3BlobStore(
        bucket,
        BlobCache(settings.cache, settings.s3_cache_bytes),
        S3Bucket(public) if settings.s3_presign else None,
    )


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
