"""The blob store, and what works on its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from mos_protocol.names import Digest


class BlobWriter(Protocol):
    """Takes one blob's bytes; nothing is in the store before `commit`."""

    def write(self, data: bytes) -> None:
        """Append; raises `WrongContent` when more than the announced size arrives."""

    def verify(self) -> None:
        """Make the bytes durable and check them; raises `WrongContent` or `Incomplete`."""

    def commit(self) -> None:
        """Verify, then put the blob into the store, atomically."""

    def abort(self) -> None:
        """Forget the bytes; does nothing after `commit`."""


@dataclass(frozen=True)
class StoredBlob:
    """A blob that is in the store since `changed`."""

    digest: Digest
    size: int
    changed: datetime


class BlobStore(Protocol):
    """Files by content. Thread-safe."""

    @property
    def kind(self) -> str:
        """Which one it is: `directory` or `s3`."""

    def put_file(self, path: Path, digest: Digest) -> None:
        """Copy a file in, atomically; raises `WrongContent`; does nothing when it is there."""

    def begin(self, digest: Digest, size: int) -> BlobWriter:
        """Start to take a blob of `size` bytes piece by piece."""

    def local_path(self, digest: Digest) -> AbstractContextManager[Path]:
        """The blob as a local file, to be read only: `with blobs.local_path(d) as path`."""

    def exists(self, digest: Digest) -> bool:
        """Whether the blob is there."""

    def open(self, digest: Digest, offset: int = 0) -> BinaryIO:
        """Read the blob from `offset`; raises `NotFound`."""

    def size(self, digest: Digest) -> int:
        """Bytes of the blob; raises `NotFound`."""

    def delete(self, digest: Digest) -> None:
        """Remove the blob if it is there. Only for blobs that `Transaction.blobs` released."""

    def presigned_put(self, submission_id: str, digest: Digest, size: int) -> str | None:
        """A URL that takes the bytes directly, or None when this store has none.

        What arrives there is no blob before `receive` has checked it.
        """

    def presigned_get(self, digest: Digest, filename: str, media_type: str) -> str | None:
        """A URL that gives the blob out directly, or None when this store has none."""

    def staged(self, submission_id: str) -> Mapping[Digest, int]:
        """What was sent directly for this submission and not received yet, with its size."""

    def receive(self, submission_id: str, digest: Digest, size: int) -> bool:
        """Make what was sent directly a blob, once it is checked; say whether the blob is there.

        Raises `WrongContent` or `Incomplete`, and then forgets what was sent.
        """

    def discard(self, submission_id: str) -> None:
        """Forget what was sent directly for this submission."""

    def blobs(self) -> Iterator[StoredBlob]:
        """Every blob, in no order; those that come or go meanwhile may be left out."""

    def sweep(self) -> int:
        """Remove what killed processes left on this machine, and say how many files."""

    def forget_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        """Forget what was sent directly before then and never received; say how much."""


class ActivationReducer(Protocol):
    """Turns recorded activations into second moments, which is all that fusion reads of them."""

    def reduce(self, path: Path, out: Path) -> bool:
        """Write the reduced form of the moments file `path` to `out` when it holds activations.

        Returns whether it did; a file of moments needs nothing. Raises `InvalidPackage`, and
        `LeftToWorkers` when activations can't be reduced in this process.
        """
