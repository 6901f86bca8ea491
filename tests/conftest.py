"""What every test shares: thread limits, and builders that several folders of tests need."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported: two pools of spinning threads on few cores starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))

from servers import PostgresServer, S3Server, postgres_server, s3_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for all tests; each makes a database of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server for all tests; each makes a bucket of its own."""
    with s3_server() as server:
        yield server
