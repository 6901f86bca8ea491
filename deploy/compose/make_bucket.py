"""Makes the bucket that the settings name; does nothing if it exists."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from minio import Minio
from minio.error import S3Error
from mos_center.settings import Settings, load_settings

EXISTS = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def make_bucket(settings: Settings) -> str:
    """Make the bucket and say what became of it. Raises `S3Error`."""
    server = urlsplit(settings.s3_endpoint)
    store = Minio(
        server.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=server.scheme == "https",
        region=settings.s3_region,
    )
    if store.bucket_exists(settings.s3_bucket):
        return f"bucket {settings.s3_bucket} exists"
    try:
        store.make_bucket(settings.s3_bucket, location=settings.s3_region)
    except S3Error as error:
        # Another one was faster.
        if error.code not in EXISTS:
            raise
    return f"bucket {settings.s3_bucket} made"


if __name__ == "__main__":
    print(make_bucket(load_settings(os.environ)))
