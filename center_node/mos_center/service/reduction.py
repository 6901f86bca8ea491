"""Keeping second moments in place of the raw activations that a package came with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mos_protocol.manifest import Manifest, sha256_of
from mos_protocol.moments import moments_path
from mos_protocol.names import Digest

from mos_center.domain.models import Submission
from mos_center.domain.ports import ActivationReducer, BlobStore, Transaction

_MOMENTS = Path(moments_path("x")).parent.as_posix()


@contextmanager
def reduced_files(
    manifest: Manifest, blobs: BlobStore, reducer: ActivationReducer
) -> Iterator[dict[str, Path]]:
    """The reduced form of every file of the package that holds activations, by path.

    The files are gone when the context is left. Raises `InvalidPackage`.
    """
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Path] = {}
        for number, entry in enumerate(manifest.files):
            if Path(entry.path).parent.as_posix() != _MOMENTS:
                continue
            out = Path(folder) / f"{number}.safetensors"
            with blobs.local_path(Digest(entry.sha256)) as path:
                if reducer.reduce(path, out):
                    found[entry.path] = out
        yield found


def store_reduced(blobs: BlobStore, reduced: Mapping[str, Path]) -> None:
    """Put the reduced files before `keep_reduced`, in which all writers would wait for it."""
    for file in reduced.values():
        blobs.put_file(file, sha256_of(file))


def keep_reduced(
    transaction: Transaction, blobs: BlobStore, submission: Submission, reduced: Mapping[str, Path]
) -> None:
    """Have the submission refer to the reduced files, and delete what nothing refers to now."""
    before = transaction.submissions.files(submission.id)
    for path, file in reduced.items():
        digest = sha256_of(file)
        transaction.submissions.replace_file(submission.id, path, digest)
        # Again, now that it is referred to: nobody deletes it from here on.
        blobs.put_file(file, digest)
    for digest in transaction.blobs.release(before[path] for path in reduced):
        blobs.delete(digest)
