"""Backup and restore: a copy of the database, every blob it refers to, and a manifest of hashes.

    DIR/manifest.json          written last: without it there is no backup
    DIR/center.db or .dump     SQLite's own online copy, or PostgreSQL's dump
    DIR/blobs/ab/cdef…         by sha256, as in a center's own folder; what is there stays

The center may go on writing meanwhile. Jobs and kept sums are left out: workers make them again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from mos_protocol.errors import Conflict, InvalidRequest, NotFound, Unavailable
from mos_protocol.manifest import sha256_of
from mos_protocol.names import Digest
from pydantic import BaseModel, ConfigDict, ValidationError

from mos_center.domain.access import LOCAL
from mos_center.domain.errors import WrongContent
from mos_center.domain.events import Checkpoint
from mos_center.domain.ports import BlobStore
from mos_center.service.audit import AuditService
from mos_center.storage.copies import (
    DatabaseCopy,
    contents_of,
    copy_database,
    kind_of,
    restore_database,
)
from mos_center.storage.database import SqlDatabase
from mos_center.storage.directory import DirectoryBlobStore
from mos_center.storage.migrations import upgrade

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
BLOBS = "blobs"
_FILES = {"sqlite": "center.db", "postgresql": "center.dump"}
# A blob may be released between the copy of the database and its own.
_ATTEMPTS = 3

OnBlob = Callable[[int, int], None]


class BackupManifest(BaseModel):
    """What a backup holds. blobs: size by digest; None when they are kept by other means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["mos-backup/1"] = "mos-backup/1"
    created_at: datetime
    version: str
    database: Literal["sqlite", "postgresql"]
    database_sha256: str
    audit: str
    blobs: dict[str, int] | None

    @property
    def database_file(self) -> str:
        return _FILES[self.database]


def backup(
    database: SqlDatabase,
    blobs: BlobStore,
    folder: Path,
    *,
    with_blobs: bool = True,
    on_blob: OnBlob = lambda done, total: None,
) -> BackupManifest:
    """Back up into `folder`; what an earlier backup left there is used and brought up to date."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = kind_of(database)
    partial = folder / f"{_FILES[kind]}.partial"
    copy, sizes = _copy(database, blobs, folder, partial, with_blobs, on_blob)
    # From here on until the end, the folder holds no valid backup.
    (folder / MANIFEST).unlink(missing_ok=True)
    partial.replace(folder / _FILES[kind])
    manifest = BackupManifest(
        created_at=datetime.now(UTC),
        version=version("mos-federation"),
        database=kind,  # type: ignore[arg-type] # checked when it is read
        database_sha256=sha256_of(folder / _FILES[kind]),
        audit=str(copy.audit),
        blobs=sizes,
    )
    _write(folder / MANIFEST, manifest)
    _prune(folder / BLOBS, sizes or {})
    log.info("backup.written folder=%s blobs=%d", folder, len(sizes or {}))
    return manifest


def restore(
    database: SqlDatabase,
    blobs: BlobStore,
    folder: Path,
    *,
    on_blob: OnBlob = lambda done, total: None,
) -> BackupManifest:
    """Put a backup into an empty database and its blobs into the store; every hash is checked.

    Interrupted, it can be run again: the database comes last. Raises `Conflict` when the database
    is not empty, and `WrongContent` or `InvalidRequest` when the backup is damaged.
    """
    manifest = read_manifest(folder)
    if manifest.database != kind_of(database):
        raise InvalidRequest(
            f"The backup is of {manifest.database}, the center's database is {kind_of(database)}.",
            hint="Set MOS_DATABASE_URL to a database of the same kind.",
        )
    source = folder / manifest.database_file
    if not source.is_file() or sha256_of(source) != manifest.database_sha256:
        raise InvalidRequest(f"{source} is not what the manifest says.", hint=_DAMAGED)
    _restore_blobs(blobs, folder / BLOBS, manifest.blobs or {}, on_blob)
    restore_database(database, source)
    upgrade(database.engine)
    _check_restored(database, blobs, manifest)
    log.info("backup.restored folder=%s created=%s", folder, manifest.created_at)
    return manifest


def read_manifest(folder: Path) -> BackupManifest:
    """The manifest of a complete backup; raises `NotFound` or `InvalidRequest`."""
    try:
        return BackupManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise NotFound(
            f"{folder} holds no complete backup.", hint="`mos-center backup DIR` writes one."
        ) from None
    except ValidationError as error:
        raise InvalidRequest(
            f"{folder / MANIFEST} can't be read: {error}.", hint=_DAMAGED
        ) from None


_DAMAGED = "Use another backup: this one was changed or is damaged."


def _copy(
    database: SqlDatabase,
    blobs: BlobStore,
    folder: Path,
    partial: Path,
    with_blobs: bool,
    on_blob: OnBlob,
) -> tuple[DatabaseCopy, dict[str, int] | None]:
    missing: list[Digest] = []
    for _ in range(_ATTEMPTS):
        copy = copy_database(database, partial)
        if not with_blobs:
            return copy, None
        sizes, missing = _copy_blobs(blobs, folder / BLOBS, copy.needed, on_blob)
        if not missing:
            return copy, sizes
    raise Unavailable(
        f"{len(missing)} blobs are not in the store, {missing[0][:12]}… among them.",
        hint="`mos-center doctor` says more; --no-blobs backs up the database alone.",
    )


def _copy_blobs(
    blobs: BlobStore, folder: Path, needed: dict[Digest, bool], on_blob: OnBlob
) -> tuple[dict[str, int], list[Digest]]:
    """Copy what is not there yet; return all sizes, and what must be in the store and is not."""
    target = DirectoryBlobStore(folder)
    target.sweep()
    sizes: dict[str, int] = {}
    missing: list[Digest] = []
    for done, (digest, required) in enumerate(sorted(needed.items()), 1):
        try:
            if not target.exists(digest):
                with blobs.local_path(digest) as path:
                    target.put_file(path, digest)
            sizes[digest] = target.size(digest)
        except (NotFound, FileNotFoundError):
            if required:
                missing.append(digest)
        on_blob(done, len(needed))
    return sizes, missing


def _restore_blobs(blobs: BlobStore, folder: Path, sizes: dict[str, int], on_blob: OnBlob) -> None:
    source = DirectoryBlobStore(folder)
    for done, (name, size) in enumerate(sorted(sizes.items()), 1):
        digest = Digest(name)
        with source.local_path(digest) as path:
            if path.stat().st_size != size:
                raise WrongContent(digest, f"the backup's file has not {size} bytes")
            blobs.put_file(path, digest)
        on_blob(done, len(sizes))


def _check_restored(database: SqlDatabase, blobs: BlobStore, manifest: BackupManifest) -> None:
    fault = (
        AuditService(database).verify(caller=LOCAL, expected=Checkpoint.parse(manifest.audit)).fault
    )
    if fault is not None:
        raise Conflict(
            f"The restored audit log is broken at number {fault.seq}: {fault.problem}.",
            hint="`mos-center audit verify` tells more; use another backup.",
        )
    if manifest.blobs is None:
        return
    for digest, required in contents_of(database).needed.items():
        if required and not blobs.exists(digest):
            raise NotFound(f"Blob {digest[:12]}… is in no backup.", hint=_DAMAGED)


def _write(path: Path, manifest: BackupManifest) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True))
    partial.replace(path)


def _prune(folder: Path, kept: dict[str, int]) -> None:
    """Remove blobs that only earlier backups of this folder had."""
    for path in folder.glob("??/*"):
        if path.parent.name + path.name not in kept:
            path.unlink()
