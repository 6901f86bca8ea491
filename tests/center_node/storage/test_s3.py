"""What only a store on an S3 server does: direct transfers, and surviving the server's absence."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from mos_center.domain.errors import Incomplete, WrongContent
from mos_center.storage.blob_cache import BlobCache
from mos_center.storage.s3 import S3BlobStore
from mos_center.storage.s3_client import S3Access, S3Bucket
from mos_protocol.errors import InvalidRequest, Unavailable
from mos_protocol.names import Digest
from servers import S3Server, free_ports

CONTENT = b"a concept's bytes"
SIZE = len(CONTENT)
DIGEST = Digest(hashlib.sha256(CONTENT).hexdigest())


def send(blobs: S3BlobStore, content: bytes, submission: str = "s1") -> None:
    """What a client does with a signed address."""
    url = blobs.presigned_put(submission, DIGEST, SIZE)
    assert url is not None
    assert httpx.put(url, content=content).is_success


def test_what_is_sent_directly_is_a_blob_once_it_is_received(s3_blobs: S3BlobStore) -> None:
    send(s3_blobs, CONTENT)
    assert s3_blobs.staged("s1") == {DIGEST: SIZE}
    assert not s3_blobs.exists(DIGEST)

    assert s3_blobs.receive("s1", DIGEST, SIZE)

    assert s3_blobs.staged("s1") == {}
    with s3_blobs.open(DIGEST) as file:
        assert file.read() == CONTENT
    assert s3_blobs.receive("s1", DIGEST, SIZE)


def test_wrong_bytes_that_were_sent_directly_are_forgotten(s3_blobs: S3BlobStore) -> None:
    send(s3_blobs, CONTENT[::-1])

    with pytest.raises(WrongContent, match="have sha256"):
        s3_blobs.receive("s1", DIGEST, SIZE)

    assert s3_blobs.staged("s1") == {}
    assert list(s3_blobs.blobs()) == []


@pytest.mark.parametrize(
    ("content", "error"), [(CONTENT[:5], Incomplete), (b"!" * 99, WrongContent)]
)
def test_a_wrong_number_of_bytes_is_noticed_without_reading_them(
    s3_blobs: S3BlobStore, content: bytes, error: type[WrongContent]
) -> None:
    send(s3_blobs, content)

    with pytest.raises(error, match=f"{len(content)} of 17 bytes") as caught:
        s3_blobs.receive("s1", DIGEST, SIZE)

    assert type(caught.value) is error
    assert s3_blobs.staged("s1") == {}


def test_bytes_that_are_swapped_after_hashing_are_not_copied(
    s3_blobs: S3BlobStore, bucket: S3Bucket
) -> None:
    send(s3_blobs, CONTENT)
    key = f"uploads/s1/{DIGEST}"
    hashed = bucket.stat(key)
    assert hashed is not None
    send(s3_blobs, CONTENT[::-1])

    assert bucket.copy(key, f"blobs/{DIGEST}", hashed.etag) is None
    with bucket.read(key, etag=hashed.etag) as stream:
        assert stream is None
    assert not s3_blobs.exists(DIGEST)


def test_a_submission_sees_and_forgets_only_what_was_sent_for_it(s3_blobs: S3BlobStore) -> None:
    send(s3_blobs, CONTENT, "s1")
    send(s3_blobs, CONTENT, "s2")

    s3_blobs.discard("s1")

    assert s3_blobs.staged("s1") == {}
    assert s3_blobs.staged("s2") == {DIGEST: SIZE}


def test_only_old_direct_uploads_are_given_up(s3_blobs: S3BlobStore) -> None:
    send(s3_blobs, CONTENT)
    now = datetime.now(UTC)

    assert s3_blobs.forget_uploads(now - timedelta(hours=1)) == 0
    assert s3_blobs.forget_uploads(now + timedelta(hours=1), dry_run=True) == 1
    assert s3_blobs.staged("s1") == {DIGEST: SIZE}
    assert s3_blobs.forget_uploads(now + timedelta(hours=1)) == 1
    assert s3_blobs.staged("s1") == {}


def test_a_blob_is_fetched_directly_under_a_name_and_in_ranges(s3_blobs: S3BlobStore) -> None:
    send(s3_blobs, CONTENT)
    s3_blobs.receive("s1", DIGEST, SIZE)
    url = s3_blobs.presigned_get(DIGEST, "Größe.bin", "application/x-test")
    assert url is not None

    answer = httpx.get(url, headers={"Range": "bytes=2-"})

    assert (answer.status_code, answer.content) == (206, CONTENT[2:])
    assert answer.headers["content-type"] == "application/x-test"
    assert (
        answer.headers["content-disposition"] == "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe.bin"
    )
    other = url.replace(DIGEST, "0" * 64)
    assert httpx.get(other).status_code == 403


def test_a_store_that_clients_do_not_reach_signs_nothing(bucket: S3Bucket, tmp_path: Path) -> None:
    hidden = S3BlobStore(bucket, BlobCache(tmp_path / "c", 1 << 20), None)

    assert hidden.presigned_put("s1", DIGEST, SIZE) is None
    assert hidden.presigned_get(DIGEST, "x", "text/plain") is None


def test_addresses_are_signed_for_the_name_that_clients_use(
    s3: S3Server, bucket: S3Bucket, tmp_path: Path
) -> None:
    public = S3Bucket(S3Access("https://files.example.org", "mos", s3.access_key, s3.secret_key))
    blobs = S3BlobStore(bucket, BlobCache(tmp_path / "c", 1 << 20), public)

    url = blobs.presigned_put("s1", DIGEST, SIZE)

    assert url is not None
    assert url.startswith(f"https://files.example.org/mos/uploads/s1/{DIGEST}?")
    assert s3.secret_key not in url


def test_what_is_too_large_for_one_request_goes_through_the_center(s3_blobs: S3BlobStore) -> None:
    assert s3_blobs.presigned_put("s1", DIGEST, (5 << 30) + 1) is None


def test_a_store_that_is_killed_is_unavailable_and_comes_back_with_everything(
    s3: S3Server, s3_blobs: S3BlobStore
) -> None:
    send(s3_blobs, CONTENT)
    s3_blobs.receive("s1", DIGEST, SIZE)
    s3.kill()
    try:
        for call in (s3_blobs.exists, s3_blobs.size, s3_blobs.open, s3_blobs.delete):
            with pytest.raises(Unavailable, match="can't be reached") as caught:
                call(DIGEST)
            assert s3.secret_key not in str(caught.value)
    finally:
        s3.start()

    with s3_blobs.open(DIGEST) as file:
        assert file.read() == CONTENT


def test_a_bucket_is_made_when_it_is_missing(s3: S3Server) -> None:
    access = S3Access(s3.endpoint, f"{s3.new_bucket()}-not", s3.access_key, s3.secret_key)

    S3Bucket(access).check()
    S3Bucket(access).check()

    assert s3.client().bucket_exists(bucket_name=access.bucket)


def test_wrong_keys_are_told_at_the_start(s3: S3Server) -> None:
    access = S3Access(s3.endpoint, s3.new_bucket(), s3.access_key, "not the secret")

    with pytest.raises(InvalidRequest, match="does not let this center use the bucket") as caught:
        S3Bucket(access).check()

    assert "not the secret" not in str(caught.value)
    assert "not the secret" not in repr(access)


def test_nobody_at_the_address_is_unavailable() -> None:
    access = S3Access(f"http://127.0.0.1:{free_ports(1)[0]}", "mos", "key", "secret")

    with pytest.raises(Unavailable, match="can't be reached"):
        S3Bucket(access).check()


@pytest.mark.parametrize(
    "endpoint", ["localhost:9000", "ftp://host", "http://host/path", "http://"]
)
def test_an_address_of_another_form_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidRequest, match="no address of an S3 server"):
        S3Bucket(S3Access(endpoint, "mos", "key", "secret"))


def test_a_name_that_no_bucket_can_have_is_told_at_the_start(s3: S3Server) -> None:
    access = S3Access(s3.endpoint, "No_Bucket!", s3.access_key, s3.secret_key)

    with pytest.raises(InvalidRequest, match="No_Bucket"):
        S3Bucket(access).check()
