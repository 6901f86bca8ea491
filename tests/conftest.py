"""What every test shares: thread limits, and builders that several folders of tests need."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Before torch is imported: two pools of spinning threads on few cores starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))

from servers import PostgresServer, S3Server, postgres_server, s3_server

if TYPE_CHECKING:
    from crowd import Crowd
    from edge import Edge
    from mos_center.settings import Settings


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


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Edge:
    """A tiny base model and pictures of two concepts."""
    # Not above: most tests need no torch.
    from edge import make_edge

    return make_edge(tmp_path_factory.mktemp("edge"))


@pytest.fixture(scope="session")
def packages(edge: Edge) -> list[Path]:
    """Both concepts, tuned for real with few steps."""
    from edge import tune_packages

    return tune_packages(edge)


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Crowd]:
    """A center on SQLite that many people have used for long; nobody changes it."""
    from crowd import fill_crowd
    from mos_center.opening import opened
    from mos_center.settings import Settings

    settings = Settings(data=tmp_path_factory.mktemp("crowd"), worker=False, rate_limit=0)
    with opened(settings) as data:
        return settings, fill_crowd(data.database, data.blobs)
