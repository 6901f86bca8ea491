"""What only a store in a folder does; the rest is in `test_blob_store.py`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mos_center.storage.directory import DirectoryBlobStore
from mos_protocol.names import Digest

CONTENT = b"a concept's bytes"
DIGEST = Digest(hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobStore:
    return DirectoryBlobStore(tmp_path / "blobs")


def files(blobs: DirectoryBlobStore) -> list[str]:
    return [str(path.relative_to(blobs.root)) for path in blobs.root.rglob("*") if path.is_file()]


def test_a_blob_is_a_file_named_by_its_hash_and_half_of_one_leaves_nothing(
    blobs: DirectoryBlobStore,
) -> None:
    with blobs.begin(DIGEST, len(CONTENT)) as writer:
        writer.write(CONTENT)
        writer.commit()
    with blobs.begin(DIGEST, len(CONTENT)) as writer:
        writer.write(CONTENT[:5])

    assert files(blobs) == [f"{DIGEST[:2]}/{DIGEST[2:]}"]


def test_putting_a_file_twice_keeps_the_first_copy(
    blobs: DirectoryBlobStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    blobs.put_file(source, DIGEST)
    with blobs.local_path(DIGEST) as path:
        before = path.stat().st_ino
    blobs.put_file(source, DIGEST)

    with blobs.local_path(DIGEST) as path:
        assert path.stat().st_ino == before


def test_the_sweep_removes_what_a_killed_writer_left_and_spares_live_ones(
    blobs: DirectoryBlobStore,
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _DIES_WHILE_WRITING, str(blobs.root), DIGEST], check=False
    )
    assert killed.returncode == -9
    with blobs.begin(DIGEST, len(CONTENT)) as writer:
        writer.write(CONTENT)
        assert len(os.listdir(blobs.root / "uploads")) == 2

        assert blobs.sweep() == 1

        writer.commit()
    assert blobs.exists(DIGEST)


_DIES_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from mos_center.storage.directory import DirectoryBlobStore
writer = DirectoryBlobStore(Path(sys.argv[1])).begin(sys.argv[2], 17)
writer.write(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""
