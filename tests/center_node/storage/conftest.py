"""Blob stores and databases of both kinds, each new and empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mos_center.domain.ports import BlobStore
from mos_center.storage.blob_cache import BlobCache
from mos_center.storage.database import SqlDatabase
from mos_center.storage.directory import DirectoryBlobStore
from mos_center.storage.migrations import upgrade
from mos_center.storage.s3 import S3BlobStore
from mos_center.storage.s3_client import S3Access, S3Bucket
from servers import PostgresServer, S3Server


@pytest.fixture
def bucket(s3: S3Server) -> S3Bucket:
    """A new bucket."""
    return S3Bucket(S3Access(s3.endpoint, s3.new_bucket(), s3.access_key, s3.secret_key))


@pytest.fixture
def s3_blobs(bucket: S3Bucket, tmp_path: Path) -> S3BlobStore:
    """A store in a new bucket that lets clients send and fetch directly."""
    return S3BlobStore(bucket, BlobCache(tmp_path / "cache", limit=1 << 30), bucket)


@pytest.fixture(params=["directory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of each kind."""
    if request.param == "directory":
        return DirectoryBlobStore(tmp_path / "blobs")
    store: S3BlobStore = request.getfixturevalue("s3_blobs")
    return store


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database of each kind without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'center.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(server.new_database())


@pytest.fixture
def database(empty_url: str) -> Iterator[SqlDatabase]:
    """A database of each kind with the newest tables."""
    found = SqlDatabase(empty_url)
    upgrade(found.engine)
    yield found
    found.close()
