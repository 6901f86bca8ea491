"""A blob store on an S3 server: `blobs/<sha256>`, and `uploads/<submission>/<sha256>` before that.

Clients may send to `uploads/` directly, at signed addresses. Nobody vouches for what lies there
until `receive` has hashed it: many servers keep a body whose announced sha256 is wrong.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO
from urllib.parse import quote

from mos_protocol.errors import NotFound, Unavailable
from mos_protocol.names import Digest

from mos_center.domain.errors import Incomplete, WrongContent
from mos_center.domain.ports import StoredBlob
from mos_center.storage.blob_cache import BlobCache
from mos_center.storage.directory import DirectoryBlobWriter
from mos_center.storage.s3_client import S3Bucket, S3Object

BLOBS = "blobs/"
UPLOADS = "uploads/"
# No S3 server takes more in one request.
LARGEST_PUT = 5 << 30
SMALL = 4 << 20
PUT_LIFETIME = timedelta(hours=6)
GET_LIFETIME = timedelta(hours=1)


class S3BlobStore:
    """Implements `domain.ports.BlobStore` on a bucket, with a local cache for those who read files.

    public: the bucket at the address that clients reach; None: they send and fetch nothing there.
    """

    kind = "s3"

    def __init__(self, bucket: S3Bucket, cache: BlobCache, public: S3Bucket | None) -> None:
        self._bucket = bucket
        self._cache = cache
        self._public = public

    def put_file(self, path: Path, digest: Digest) -> None:
        if self.exists(digest):
            return
        with self.begin(digest, path.stat().st_size) as writer, path.open("rb") as source:
            while data := source.read(1 << 20):
                writer.write(data)
            writer.commit()

    def begin(self, digest: Digest, size: int) -> S3BlobWriter:
        return S3BlobWriter(self._bucket, self._cache, digest, size)

    @contextmanager
    def local_path(self, digest: Digest) -> Iterator[Path]:
        size, fetch = partial(self.size, digest), partial(self._fetch, digest)
        with self._cache.local(digest, size, fetch) as path:
            yield path

    def exists(self, digest: Digest) -> bool:
        return self._bucket.stat(_key(digest)) is not None

    def open(self, digest: Digest, offset: int = 0) -> BinaryIO:
        if offset and offset >= self.size(digest):
            return io.BytesIO()
        stream = self._bucket.open(_key(digest), offset)
        if stream is None:
            raise _missing(digest)
        return io.BufferedReader(stream, 1 << 20)

    def size(self, digest: Digest) -> int:
        found = self._bucket.stat(_key(digest))
        if found is None:
            raise _missing(digest)
        return found.size

    def delete(self, digest: Digest) -> None:
        self._bucket.remove(_key(digest))
        self._cache.forget(digest)

    def presigned_put(self, submission_id: str, digest: Digest, size: int) -> str | None:
        if self._public is None or size > LARGEST_PUT:
            return None
        return self._public.signed("PUT", _staging(submission_id, digest), PUT_LIFETIME)

    def presigned_get(self, digest: Digest, filename: str, media_type: str) -> str | None:
        if self._public is None:
            return None
        answer = {"content-type": media_type, "content-disposition": _attachment(filename)}
        return self._public.signed("GET", _key(digest), GET_LIFETIME, answer)

    def staged(self, submission_id: str) -> Mapping[Digest, int]:
        if self._public is None:
            return {}
        found = self._bucket.objects(_staging(submission_id, ""))
        return {_digest(item): item.size for item in found}

    def receive(self, submission_id: str, digest: Digest, size: int) -> bool:
        key = _staging(submission_id, digest)
        staged = self._bucket.stat(key)
        if staged is None:
            # Nobody sent it, or another process has received it.
            return self.exists(digest)
        try:
            promoted = self._promote(staged, digest, size)
        except WrongContent:
            self._bucket.remove(key)
            raise
        if not promoted and not self.exists(digest):
            raise Unavailable(
                f"Blob {digest[:12]}… was sent again while it was checked.", hint="Commit again."
            )
        self._bucket.remove(key)
        return True

    def discard(self, submission_id: str) -> None:
        if self._public is None:
            return
        for item in self._bucket.objects(_staging(submission_id, "")):
            self._bucket.remove(item.key)

    def blobs(self) -> Iterator[StoredBlob]:
        for item in self._bucket.objects(BLOBS):
            yield StoredBlob(_digest(item), item.size, item.changed)

    def sweep(self) -> int:
        """Remove half-written local copies, and say how many."""
        return self._cache.sweep()

    def forget_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        old = [item.key for item in self._bucket.objects(UPLOADS) if item.changed < before]
        for key in () if dry_run else old:
            self._bucket.remove(key)
        return len(old)

    def _fetch(self, digest: Digest, writer: DirectoryBlobWriter) -> None:
        with self._bucket.read(_key(digest)) as stream:
            if stream is None:
                raise _missing(digest)
            for data in stream.pieces():
                writer.write(data)

    def _promote(self, staged: S3Object, digest: Digest, size: int) -> bool:
        """Hash what was sent, then copy exactly that; False when it went away or changed.

        What was hashed stays as a local copy.
        """
        if staged.size != size:
            wrong = Incomplete if staged.size < size else WrongContent
            raise wrong(digest, f"{staged.size} of {size} bytes arrived")
        with self._cache.writer(digest, size) as writer:
            with self._bucket.read(staged.key, etag=staged.etag) as stream:
                for data in stream.pieces() if stream else ():
                    writer.write(data)
            if stream is None:
                return False
            writer.verify()
            if not self._keep(staged, digest, writer.path):
                return False
            writer.commit()
        self._cache.grown(size)
        return True

    def _keep(self, staged: S3Object, digest: Digest, path: Path) -> bool:
        """Make a blob of what was hashed and is at `path`; False when it changed since.

        The server copies what is large. What is small is sent, which takes fewer requests.
        """
        if staged.size > SMALL:
            copied = self._bucket.copy(staged.key, _key(digest), staged.etag)
            if copied is None:
                return False
            if copied == staged.etag:
                return True
            # This server ignores the condition, or makes ETags in another way.
        self._bucket.put(_key(digest), path, staged.size)
        return True


class S3BlobWriter:
    """Implements `domain.ports.BlobWriter`: takes the bytes locally, sends them once checked.

    `verify` sends, so that `commit`, which is called inside a transaction, is quick. A blob that
    is never committed stays until the garbage collection finds that nothing refers to it.
    """

    def __init__(self, bucket: S3Bucket, cache: BlobCache, digest: Digest, size: int) -> None:
        self._bucket = bucket
        self._cache = cache
        self._key = _key(digest)
        self._size = size
        self._local = cache.writer(digest, size)
        self._verified = False

    def write(self, data: bytes) -> None:
        self._local.write(data)

    def verify(self) -> None:
        if not self._verified:
            self._local.verify()
            self._send()
            self._verified = True

    def commit(self) -> None:
        self.verify()
        # Somebody else's refusal may have removed it since.
        self._send()
        self._local.commit()
        self._cache.grown(self._size)

    def abort(self) -> None:
        self._local.abort()

    def _send(self) -> None:
        if self._bucket.stat(self._key) is None:
            self._bucket.put(self._key, self._local.path, self._size)

    def __enter__(self) -> S3BlobWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def _key(digest: Digest) -> str:
    return f"{BLOBS}{digest}"


def _staging(submission_id: str, digest: str) -> str:
    return f"{UPLOADS}{submission_id}/{digest}"


def _digest(item: S3Object) -> Digest:
    return Digest(PurePosixPath(item.key).name)


def _attachment(filename: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"


def _missing(digest: Digest) -> NotFound:
    return NotFound(
        f"Blob {digest[:12]}… is not in the store.",
        hint="Send it, or restore the bucket from its backup.",
    )
