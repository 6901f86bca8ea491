"""Run by Alembic: applies the revisions on the connection that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

from mos_center.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite alters a table by copying it.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
