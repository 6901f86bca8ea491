"""Questions to a database server about itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import create_engine, text

from mos_center.storage.database import SqlDatabase


def server_time(database: SqlDatabase) -> datetime | None:
    """What the database's clock shows; None for SQLite, which has none of its own."""
    if database.engine.dialect.name == "sqlite":
        return None
    with database.engine.connect() as connection:
        now: datetime = connection.scalar(text("SELECT clock_timestamp()"))
    return now


def answers(url: str) -> None:
    """Raise SQLAlchemy's error unless the database behind `url` answers."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    finally:
        engine.dispose()


def sessions_named(url: str, application: str) -> int:
    """How many sessions of a PostgreSQL server call themselves `application`."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            query = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name")
            return int(connection.scalar(query, {"name": application}) or 0)
    finally:
        engine.dispose()
