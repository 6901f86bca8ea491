"""A fake center per test, and a session with it that never waits long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_center import TOKEN, FakeCenter
from mos_client import Backoff, Session
from tiny_package import write_package


@pytest.fixture
def center() -> Iterator[FakeCenter]:
    fake = FakeCenter()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def session(center: FakeCenter) -> Iterator[Session]:
    with Session(center.url, TOKEN, backoff=Backoff(first=0.01, longest=0.1)) as session:
        yield session


@pytest.fixture
def package(tmp_path: Path) -> Path:
    write_package(tmp_path / "package")
    return tmp_path / "package"
