"""Brings a database to the newest schema, with Alembic's revisions in `versions/`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from mos_protocol.errors import MosError
from sqlalchemy import Connection, Engine

from mos_center.storage.database import translated, writing

# As long as the largest upgrade may take.
_WAIT_MS = 600_000


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Create or upgrade the schema; does nothing when it is that one.

    Any number of processes may at once: one does it, in one transaction, and the others wait.
    Raises `Unavailable` when the database can't be reached.
    """
    config = _config()
    with translated():
        if revision == "head" and revision_of(engine) == newest_revision():
            return
        with writing(engine, _WAIT_MS, alters_tables=True) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            _check_references(connection)


def _check_references(connection: Connection) -> None:
    """Undo an upgrade that lost rows which others refer to; PostgreSQL notices by itself."""
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise MosError(
                f"The database has {len(broken)} references to nothing, first in {broken[0][0]}.",
                hint="Nothing was changed. Restore a backup, or report this.",
            )


def revision_of(engine: Engine) -> str | None:
    """The revision of the schema; None when there is none yet."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """The revision that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
