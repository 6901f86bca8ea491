"""Local copies of blobs that are kept elsewhere: checked, bounded, shared by processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from mos_protocol.errors import Unavailable
from mos_protocol.names import Digest

from mos_center.storage.directory import DirectoryBlobWriter, sweep_folder

_PARTIAL = "partial"
_LOCKS = "locks"
# Between arriving and being held, a copy may be evicted by another process: then it comes again.
_TRIES = 5
# How often the files are counted while as many bytes come as the limit allows.
_LOOKS = 64


class Fetch(Protocol):
    """Brings a blob: writes all its bytes."""

    def __call__(self, writer: DirectoryBlobWriter) -> None: ...


class BlobCache:
    """Files by content in `folder`; what is not in use goes, least recently used first.

    limit: bytes. A copy holds a lock while it is used, so any number of processes may share the
    folder; together they stay below the limit but for what they use at the moment, and a small
    part that each may add before it looks again.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        # Bytes that came since the last look at all files; before the first look, who knows.
        self._unseen = limit
        self._partial = folder / _PARTIAL
        self._locks = folder / _LOCKS
        for made in (self._partial, self._locks):
            made.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def local(self, digest: Digest, size: Callable[[], int], fetch: Fetch) -> Iterator[Path]:
        """The blob as a local file that stays until the context is left.

        `size` is asked when the blob has to be fetched. Raises `WrongContent` when what `fetch`
        brings is something else.
        """
        with self._held_or_fetched(digest, size, fetch):
            yield self._path(digest)

    def writer(self, digest: Digest, size: int) -> DirectoryBlobWriter:
        """Takes a blob's bytes; its `commit` makes them a copy here."""
        return DirectoryBlobWriter(
            self._partial, self._path(digest), digest, size, is_durable=False
        )

    def forget(self, digest: Digest) -> None:
        """Drop the copy; whoever uses it keeps it open."""
        self._path(digest).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what killed processes left half written, and say how many files."""
        return sweep_folder(self._partial)

    def grown(self, size: int) -> None:
        """Note that a copy of `size` bytes came, and trim now and then: it reads the folder."""
        self._unseen += size
        if self._unseen > self._limit // _LOOKS:
            self.trim()

    def trim(self) -> None:
        """Evict copies until the limit holds; those in use stay."""
        self._unseen = 0
        files = sorted(self._files(), key=lambda item: item[1].st_mtime_ns)
        total = sum(status.st_size for _, status in files)
        for path, status in files:
            if total <= self._limit:
                return
            if _evict(path):
                total -= status.st_size

    def _held_or_fetched(self, digest: Digest, size: Callable[[], int], fetch: Fetch) -> BinaryIO:
        for _ in range(_TRIES):
            if held := self._hold(digest):
                return held
            with self._fetching(digest):
                if held := self._hold(digest):
                    return held
                expected = size()
                with self.writer(digest, expected) as writer:
                    fetch(writer)
                    writer.commit()
                if held := self._hold(digest):
                    self.grown(expected)
                    return held
        raise Unavailable(
            "Local copies of stored files go away before they can be read.",
            hint="Allow more with MOS_S3_CACHE_BYTES.",
        )

    def _hold(self, digest: Digest) -> BinaryIO | None:
        """The copy, opened and locked; None when there is none."""
        try:
            file = self._path(digest).open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_nlink == 0:
            file.close()
            return None
        os.utime(file.fileno())
        return file

    @contextmanager
    def _fetching(self, digest: Digest) -> Iterator[None]:
        """Let one process at a time fetch this blob (and the few that share its lock)."""
        with (self._locks / digest[:2]).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in self._folder.iterdir():
            if folder.name in (_PARTIAL, _LOCKS):
                continue
            for path in folder.iterdir():
                try:
                    yield path, path.stat()
                except FileNotFoundError:
                    continue

    def _path(self, digest: Digest) -> Path:
        return self._folder / digest[:2] / digest[2:]


def _evict(path: Path) -> bool:
    """Remove a copy unless it is in use; says whether it is gone."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True
