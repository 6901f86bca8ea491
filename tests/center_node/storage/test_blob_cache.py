"""The local copies: bounded, checked, and kept while somebody reads them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mos_center.domain.errors import WrongContent
from mos_center.storage.blob_cache import BlobCache
from mos_center.storage.directory import DirectoryBlobWriter
from mos_protocol.names import Digest

SIZE = 1000


class Source:
    """Brings made-up blobs and counts how often."""

    def __init__(self) -> None:
        self.fetched: list[int] = []

    def content(self, number: int) -> bytes:
        return bytes([number]) * SIZE

    def digest(self, number: int) -> Digest:
        return Digest(hashlib.sha256(self.content(number)).hexdigest())

    def read(self, cache: BlobCache, number: int) -> bytes:
        def fetch(writer: DirectoryBlobWriter) -> None:
            self.fetched.append(number)
            writer.write(self.content(number))

        with cache.local(self.digest(number), lambda: SIZE, fetch) as path:
            return path.read_bytes()


@pytest.fixture
def source() -> Source:
    return Source()


def copies(folder: Path) -> int:
    return sum(path.is_file() for path in folder.glob("[0-9a-f][0-9a-f]/*"))


def test_a_blob_is_fetched_once(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path, 10 * SIZE)

    assert source.read(cache, 1) == source.read(cache, 1) == source.content(1)
    assert source.fetched == [1]


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path, 2 * SIZE)
    for number in (1, 2, 1, 3):
        source.read(cache, number)
    assert copies(tmp_path) == 2

    source.read(cache, 1)

    assert source.fetched == [1, 2, 3]
    source.read(cache, 2)
    assert source.fetched == [1, 2, 3, 2]


def test_small_copies_do_not_have_all_files_counted_each_time(
    tmp_path: Path, source: Source
) -> None:
    cache = BlobCache(tmp_path, 128 * SIZE)
    source.read(cache, 1)
    others = tmp_path / "ab" / "cd"
    others.parent.mkdir()
    others.write_bytes(bytes(200 * SIZE))

    for number in (2, 3):
        source.read(cache, number)
    assert others.exists()

    source.read(cache, 4)
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 128 * SIZE


def test_a_copy_in_use_is_not_evicted(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path, 0)
    held = cache.local(
        source.digest(1), lambda: SIZE, lambda writer: writer.write(source.content(1))
    )

    with held as path:
        source.read(cache, 2)
        BlobCache(tmp_path, 0).trim()

        assert path.read_bytes() == source.content(1)
        assert copies(tmp_path) == 1

    cache.trim()
    assert copies(tmp_path) == 0


def test_wrong_bytes_never_become_a_copy(tmp_path: Path, source: Source) -> None:
    cache = BlobCache(tmp_path, 10 * SIZE)
    wrong = cache.local(
        source.digest(1), lambda: SIZE, lambda writer: writer.write(source.content(2))
    )

    with pytest.raises(WrongContent), wrong:
        pass

    assert copies(tmp_path) == 0
    assert list((tmp_path / "partial").iterdir()) == []


def test_processes_share_one_cache_and_what_killed_ones_left_is_swept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _READS_MUCH, str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    killed = subprocess.run([sys.executable, "-c", _DIES, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert len(os.listdir(tmp_path / "partial")) == 1

    assert BlobCache(tmp_path, 0).sweep() == 1

    assert os.listdir(tmp_path / "partial") == []


_READS_MUCH = """
import hashlib, random, sys
from pathlib import Path
from mos_center.storage.blob_cache import BlobCache
cache = BlobCache(Path(sys.argv[1]), 3000)
for _ in range(300):
    content = bytes([random.randrange(8)]) * 1000
    digest = hashlib.sha256(content).hexdigest()
    with cache.local(digest, lambda: 1000, lambda writer: writer.write(content)) as path:
        assert path.read_bytes() == content
"""

_DIES = """
import os, signal, sys
from pathlib import Path
from mos_center.storage.blob_cache import BlobCache
writer = BlobCache(Path(sys.argv[1]), 0).writer("ab" * 32, 17)
writer.write(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""
