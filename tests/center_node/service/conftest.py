"""The use cases on both databases."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mos_center.settings import Settings
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import upgrade
from pydantic import SecretStr
from servers import PostgresServer


@pytest.fixture(scope="session")
def empty_hub(postgres: PostgresServer) -> str:
    """The name of a database with all tables and no rows: copying it is quicker than making one."""
    name = postgres.new_database()
    database = SqlDatabase(postgres.url(name))
    upgrade(database.engine)
    database.close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, empty_data: Path) -> Settings:
    shutil.copytree(empty_data, tmp_path / "data")
    found = Settings(data=tmp_path / "data", port=0, grpc_port=0, worker=False)
    if request.param == "sqlite":
        return found
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.url(server.new_database(template=request.getfixturevalue("empty_hub")))
    return found.model_copy(update={"database_url": SecretStr(url)})
