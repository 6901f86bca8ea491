"""A blob store in a directory: `ab/cdef…` by sha256, written to a temporary file and renamed."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import BinaryIO

from mos_protocol.errors import NotFound
from mos_protocol.names import Digest

from mos_center.domain.errors import Incomplete, WrongContent
from mos_center.domain.ports import StoredBlob

_PIECE = 1 << 20
_UPLOADS = "uploads"


class DirectoryBlobStore:
    """Implements `domain.ports.BlobStore` on a local file system."""

    kind = "directory"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uploads = root / _UPLOADS
        self._uploads.mkdir(parents=True, exist_ok=True)

    def put_file(self, path: Path, digest: Digest) -> None:
        if self.exists(digest):
            return
        with path.open("rb") as source, self.begin(digest, path.stat().st_size) as writer:
            while data := source.read(_PIECE):
                writer.write(data)
            writer.commit()

    def begin(self, digest: Digest, size: int) -> DirectoryBlobWriter:
        return DirectoryBlobWriter(self._uploads, self._path(digest), digest, size)

    @contextmanager
    def local_path(self, digest: Digest) -> Iterator[Path]:
        yield self._existing(digest)

    def exists(self, digest: Digest) -> bool:
        return self._path(digest).is_file()

    def open(self, digest: Digest, offset: int = 0) -> BinaryIO:
        file = self._existing(digest).open("rb")
        file.seek(offset)
        return file

    def size(self, digest: Digest) -> int:
        return self._existing(digest).stat().st_size

    def delete(self, digest: Digest) -> None:
        self._path(digest).unlink(missing_ok=True)

    def presigned_put(self, submission_id: str, digest: Digest, size: int) -> str | None:
        return None

    def presigned_get(self, digest: Digest, filename: str, media_type: str) -> str | None:
        return None

    def staged(self, submission_id: str) -> Mapping[Digest, int]:
        return {}

    def receive(self, submission_id: str, digest: Digest, size: int) -> bool:
        return self.exists(digest)

    def discard(self, submission_id: str) -> None:
        """Nothing was sent past the center."""

    def blobs(self) -> Iterator[StoredBlob]:
        for folder in sorted(self.root.iterdir()):
            if folder != self._uploads and folder.is_dir():
                yield from _stored(folder)

    def sweep(self) -> int:
        """Remove what killed writers left, and say how many files; live ones hold a lock."""
        return sweep_folder(self._uploads)

    def forget_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        return 0

    def _path(self, digest: Digest) -> Path:
        return self.root / digest[:2] / digest[2:]

    def _existing(self, digest: Digest) -> Path:
        path = self._path(digest)
        if not path.is_file():
            raise NotFound(
                f"Blob {digest[:12]}… is not in the store.",
                hint="Send it, or restore the blob folder from its backup.",
            )
        return path


class DirectoryBlobWriter:
    """Implements `domain.ports.BlobWriter`; leaving its context aborts what was not committed."""

    def __init__(
        self, uploads: Path, target: Path, digest: Digest, size: int, *, is_durable: bool = True
    ) -> None:
        """`is_durable`: what was committed survives a power cut."""
        self._is_durable = is_durable
        self._target = target
        self._digest = digest
        self._left = size
        self._size = size
        self._hash = hashlib.sha256()
        self._verified = False
        # Closed by `commit` or `abort`.
        self._file = NamedTemporaryFile(  # noqa: SIM115
            dir=uploads, prefix=f"{digest[:12]}-", delete=False
        )
        fcntl.flock(self._file, fcntl.LOCK_EX)

    @property
    def path(self) -> Path:
        """Where the bytes are until `commit`."""
        return Path(self._file.name)

    def write(self, data: bytes) -> None:
        if len(data) > self._left:
            raise WrongContent(self._digest, f"more than the announced {self._size} bytes arrived")
        self._left -= len(data)
        self._hash.update(data)
        self._file.write(data)

    def verify(self) -> None:
        if self._verified:
            return
        if self._left:
            arrived = self._size - self._left
            raise Incomplete(self._digest, f"{arrived} of {self._size} bytes arrived")
        actual = self._hash.hexdigest()
        if actual != self._digest:
            raise WrongContent(self._digest, f"the bytes that arrived have sha256 {actual[:12]}…")
        self._file.flush()
        if self._is_durable:
            os.fsync(self._file.fileno())
        self._verified = True

    def commit(self) -> None:
        self.verify()
        self._target.parent.mkdir(exist_ok=True)
        self.path.replace(self._target)
        self._file.close()
        if self._is_durable:
            _sync_folder(self._target.parent)

    def abort(self) -> None:
        if not self._file.closed:
            self.path.unlink(missing_ok=True)
            self._file.close()

    def __enter__(self) -> DirectoryBlobWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def sweep_folder(folder: Path) -> int:
    """Remove the files in `folder` that no living process has locked, and say how many."""
    removed = 0
    for path in folder.iterdir():
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _stored(folder: Path) -> Iterator[StoredBlob]:
    for path in sorted(folder.iterdir()):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        yield StoredBlob(Digest(folder.name + path.name), status.st_size, changed)


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
