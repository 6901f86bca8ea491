"""What every blob store does, whatever it keeps its blobs in."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mos_center.domain.errors import Incomplete, WrongContent
from mos_center.domain.ports import BlobStore
from mos_protocol.errors import NotFound
from mos_protocol.names import Digest

CONTENT = b"a concept's bytes"
DIGEST = Digest(hashlib.sha256(CONTENT).hexdigest())
# More than one part of an upload.
LARGE = os.urandom(1 << 20) * 40


def put(blobs: BlobStore, content: bytes) -> Digest:
    digest = Digest(hashlib.sha256(content).hexdigest())
    writer = blobs.begin(digest, len(content))
    writer.write(content)
    writer.commit()
    return digest


def stored(blobs: BlobStore) -> set[Digest]:
    return {blob.digest for blob in blobs.blobs()}


def test_a_store_says_which_kind_it_is(blobs: BlobStore, request: pytest.FixtureRequest) -> None:
    assert blobs.kind == request.node.callspec.params["blobs"]


def test_a_blob_is_kept_under_its_hash(blobs: BlobStore) -> None:
    writer = blobs.begin(DIGEST, len(CONTENT))
    writer.write(CONTENT[:5])
    writer.write(CONTENT[5:])
    assert not blobs.exists(DIGEST)
    writer.commit()

    assert blobs.exists(DIGEST)
    assert blobs.size(DIGEST) == len(CONTENT)
    with blobs.open(DIGEST) as file:
        assert file.read() == CONTENT
    with blobs.local_path(DIGEST) as path:
        assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("offset", [1, len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 9])
def test_a_blob_is_read_from_any_offset(blobs: BlobStore, offset: int) -> None:
    put(blobs, CONTENT)

    with blobs.open(DIGEST, offset) as file:
        assert file.read() == CONTENT[offset:]


def test_an_empty_blob_is_one_too(blobs: BlobStore) -> None:
    digest = put(blobs, b"")

    assert blobs.size(digest) == 0
    with blobs.open(digest) as file, blobs.local_path(digest) as path:
        assert file.read() == path.read_bytes() == b""


def test_a_large_blob_comes_back_as_it_was(blobs: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    digest = Digest(hashlib.sha256(LARGE).hexdigest())

    blobs.put_file(source, digest)

    with blobs.open(digest, 1 << 20) as file:
        assert file.read(3) == LARGE[:3]
    with blobs.local_path(digest) as path:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_wrong_bytes_are_refused_and_leave_nothing(blobs: BlobStore) -> None:
    writer = blobs.begin(DIGEST, len(CONTENT))
    writer.write(CONTENT[::-1])
    with pytest.raises(WrongContent, match="have sha256"):
        writer.commit()
    writer.abort()

    assert stored(blobs) == set()


def test_more_bytes_than_announced_are_refused_before_they_are_written(blobs: BlobStore) -> None:
    writer = blobs.begin(DIGEST, 4)
    with pytest.raises(WrongContent, match="more than"):
        writer.write(CONTENT)
    writer.abort()

    assert stored(blobs) == set()


def test_a_transfer_that_breaks_off_is_told_from_wrong_bytes(blobs: BlobStore) -> None:
    writer = blobs.begin(DIGEST, len(CONTENT))
    writer.write(CONTENT[:5])
    with pytest.raises(Incomplete, match="5 of 17 bytes"):
        writer.commit()
    writer.abort()

    assert stored(blobs) == set()


def test_a_file_with_other_bytes_is_not_put(blobs: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"something else")

    with pytest.raises(WrongContent):
        blobs.put_file(tmp_path / "source", DIGEST)

    assert not blobs.exists(DIGEST)


def test_a_blob_removed_between_check_and_commit_is_there_after_the_commit(
    blobs: BlobStore,
) -> None:
    writer = blobs.begin(DIGEST, len(CONTENT))
    writer.write(CONTENT)
    writer.verify()
    blobs.delete(DIGEST)
    writer.commit()

    assert stored(blobs) == {DIGEST}


def test_what_is_not_there_is_not_found(blobs: BlobStore) -> None:
    blobs.delete(DIGEST)
    for look in (blobs.open, blobs.size):
        with pytest.raises(NotFound):
            look(DIGEST)
    with pytest.raises(NotFound), blobs.local_path(DIGEST):
        pass


def test_a_deleted_blob_is_gone(blobs: BlobStore) -> None:
    put(blobs, CONTENT)
    with blobs.local_path(DIGEST):
        pass

    blobs.delete(DIGEST)

    assert not blobs.exists(DIGEST)
    with pytest.raises(NotFound), blobs.local_path(DIGEST):
        pass


def test_all_blobs_are_listed_with_size_and_age(blobs: BlobStore) -> None:
    put(blobs, CONTENT)
    empty = put(blobs, b"")

    listed = {blob.digest: blob for blob in blobs.blobs()}

    assert {digest: blob.size for digest, blob in listed.items()} == {DIGEST: 17, empty: 0}
    age = datetime.now(UTC) - listed[DIGEST].changed
    assert abs(age) < timedelta(minutes=5)


def test_a_blob_that_was_not_sent_directly_is_received_when_it_is_there(blobs: BlobStore) -> None:
    assert blobs.receive("s1", DIGEST, len(CONTENT)) is False
    put(blobs, CONTENT)

    assert blobs.receive("s1", DIGEST, len(CONTENT)) is True
    assert blobs.staged("s1") == {}


def test_the_same_blob_is_written_and_read_by_many_threads(blobs: BlobStore) -> None:
    failures: list[BaseException] = []

    def write_and_read() -> None:
        try:
            put(blobs, CONTENT)
            with blobs.local_path(DIGEST) as path:
                assert path.read_bytes() == CONTENT
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write_and_read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert stored(blobs) == {DIGEST}
