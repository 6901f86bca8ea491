"""Checks of what a center stores in: database, blob store, disk, base models."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from mos_protocol.errors import Unavailable
from mos_protocol.names import Digest

from mos_center.doctor.findings import Finding, fail, ok, warn
from mos_center.domain.models import BaseRecord
from mos_center.opening import blob_store
from mos_center.settings import Settings
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import newest_revision, revision_of
from mos_center.storage.probes import server_time

_GIB = 1 << 30
LEAST_BYTES = _GIB
FEW_BYTES = 10 * _GIB
SKEW_SECONDS = 5.0
_PROBE_BYTES = 64 * 1024


def database(known: SqlDatabase) -> Iterator[Finding]:
    """It answers, its schema is the one of this release, and its clock is right."""
    engine = known.engine
    found, newest = revision_of(engine), newest_revision()
    told = engine.url.render_as_string(hide_password=True)
    if found == newest:
        yield ok("database", f"{told}, schema {found}")
    else:
        state = f"schema {found}" if found else "no schema yet"
        yield fail(
            "database",
            f"{told} has {state}; this release needs {newest}",
            "Run `mos-center migrate` (a backup first: `mos-center backup DIR`).",
        )
    yield from _clock(known)


def _clock(known: SqlDatabase) -> Iterator[Finding]:
    there = server_time(known)
    if there is None:
        return
    skew = abs((datetime.now(UTC) - there).total_seconds())
    if skew < SKEW_SECONDS:
        yield ok("clock", f"within {SKEW_SECONDS:.0f} s of the database's")
    else:
        yield warn(
            "clock",
            f"{skew:.0f} s away from the database's",
            "Have both machines keep time by NTP: tokens expire by the clock.",
        )


def store(settings: Settings) -> Iterator[Finding]:
    """A blob can be written, is read back as it was, and removed."""
    blobs = blob_store(settings)
    content = secrets.token_bytes(_PROBE_BYTES)
    digest = Digest(hashlib.sha256(content).hexdigest())
    writer = blobs.begin(digest, len(content))
    try:
        writer.write(content)
        writer.commit()
        with blobs.open(digest) as file:
            back = file.read()
    finally:
        writer.abort()
        blobs.delete(digest)
    if back != content:
        raise Unavailable(
            "What was written to the blob store came back changed.",
            hint="Check its disk or server before anything else is written.",
        )
    yield ok("store", f"{_where(settings)}: written, read back and removed {len(content)} bytes")


def _where(settings: Settings) -> str:
    if settings.s3_endpoint:
        return f"bucket {settings.s3_bucket} at {settings.s3_endpoint}"
    return f"folder {settings.blobs}"


def files(settings: Settings, known: SqlDatabase) -> Iterator[Finding]:
    """Every file that the database refers to is in the store."""
    blobs = blob_store(settings)
    with known.read() as transaction:
        needed = [digest for digest, must in transaction.blobs.needed().items() if must]
    missing = sorted(digest for digest in needed if not blobs.exists(digest))
    if not missing:
        yield ok("files", f"all {len(needed)} files that the database refers to are there")
        return
    yield fail(
        "files",
        f"{len(missing)} of {len(needed)} are missing: {', '.join(missing[:5])}",
        "Restore them from a backup; GET /v1/files/SHA256 says which concepts and models they are.",
    )


def disk(folder: Path) -> Iterator[Finding]:
    """There is room for what comes."""
    usage = shutil.disk_usage(folder)
    told = f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.0f} GiB are free at {folder}"
    if usage.free < LEAST_BYTES:
        yield fail("disk", told, "Free space, or move the data folder: uploads will fail.")
    elif usage.free < FEW_BYTES:
        yield warn("disk", told, "Plan for more: a version is as large as its base model.")
    else:
        yield ok("disk", told)


def bases(known: SqlDatabase, *, full: bool) -> Iterator[Finding]:
    """The folders are there; with `full`, their weights are hashed again."""
    with known.read() as transaction:
        records = transaction.bases.all()
    if not records:
        yield warn("bases", "no base model is registered", "Run `mos-center base add`.")
    for base in records:
        yield _base(base, full=full)


def _base(base: BaseRecord, *, full: bool) -> Finding:
    name = f"base {base.name}"
    if not (base.path / "model_index.json").is_file():
        return fail(
            name,
            f"{base.path} is no model folder (any more)",
            "Put the base model back there: fusions on it will fail. API replicas do without.",
        )
    if not full:
        return ok(name, f"{base.path} is there (--full hashes it)")
    if find_spec("torch") is None:
        return warn(name, "can't be hashed without torch", "Run this on a worker's machine.")
    # Imports torch.
    from mos_diffusion.base_model import read_layer_map

    if read_layer_map(base.path).digest == base.digest:
        return ok(name, f"{base.path} has the weights that were registered")
    return fail(name, f"{base.path} has other weights", "Put back what was registered.")
