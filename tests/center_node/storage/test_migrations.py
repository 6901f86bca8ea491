from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from mos_center.opening import OpenedData
from mos_center.storage.migrations import upgrade
from mos_center.storage.tables import metadata


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(data: OpenedData) -> None:
    with data.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == "0001"


def test_upgrading_a_new_database_again_changes_nothing(data: OpenedData) -> None:
    token = data.center().tokens.create("ada")

    upgrade(data.database.engine)

    assert data.center().tokens.authenticate(token) == "ada"
