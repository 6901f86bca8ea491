from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from concept_packages import small_layer_map, write_package
from mos_center.domain.models import Solver
from mos_center.opening import OpenedData
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import upgrade
from mos_center.storage.tables import metadata
from mos_protocol.layer_map import Part
from mos_protocol.manifest import read_manifest
from mos_protocol.part_weights import PartWeights
from sqlalchemy import text


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(data: OpenedData) -> None:
    with data.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == "0002"


def test_upgrading_a_new_database_again_changes_nothing(data: OpenedData) -> None:
    token = data.center().tokens.create("ada")

    upgrade(data.database.engine)

    assert data.center().tokens.authenticate(token) == "ada"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[SqlDatabase]:
    """A database of the first schema with one published fusion."""
    database = SqlDatabase(f"sqlite:///{tmp_path / 'old.db'}")
    upgrade(database.engine, "0001")
    manifest = read_manifest(write_package(tmp_path / "package"))
    values = {
        "base": "small",
        "digest": "ab" * 32,
        "layer_map": small_layer_map().model_dump_json(),
        "manifest": manifest.to_bytes().decode(),
        "manifest_digest": manifest.digest(),
        "build": "c" * 64,
        "ridge": '{"spatial": 0.25}',
        "now": datetime(2026, 1, 2, tzinfo=UTC).isoformat(sep=" "),
    }
    with database.engine.begin() as connection:
        for statement in OLD_ROWS:
            connection.execute(text(statement), values)
    yield database
    database.close()


OLD_ROWS = (
    "INSERT INTO bases VALUES (:base, :digest, '/models/small', :layer_map, :now)",
    "INSERT INTO submissions VALUES ('s1', :manifest_digest, :manifest, 'ada', 'potter', 1, "
    "'<potter1> <potter2>', 'man', :base, 'approved', '', :now)",
    "INSERT INTO fusions (id, model, base, solver, prior_weight, ridge, build, state, done, total, "
    "message, model_version, created_at) VALUES ('f1', 'demo', :base, 'lbfgs', 0.5, :ridge, "
    ":build, 'published', 3, 3, 'published', 1, :now)",
    "INSERT INTO fusion_concepts (fusion, position, submission, weight) "
    "VALUES ('f1', 0, 's1', 0.75)",
    "INSERT INTO model_versions VALUES ('demo', 1, 'f1', '{}', :now)",
)


def test_fusions_from_before_weights_by_part_read_as_they_were_asked_for(old: SqlDatabase) -> None:
    upgrade(old.engine)

    with old.read() as transaction:
        fusion = transaction.fusions.get("f1")
        (version,) = transaction.models.versions("demo")
    assert fusion.concepts[0].weights == PartWeights.uniform(0.75)
    assert version.concepts[0].weights == PartWeights.uniform(0.75)
    assert (fusion.solver, fusion.prior_weight) == (Solver.LBFGS, 0.5)
    assert fusion.ridge == {Part.SPATIAL: 0.25}
    assert (fusion.lbfgs_steps, fusion.refine_rounds, fusion.exports) == (None, 0, ())


def test_an_upgraded_database_has_the_tables_of_a_new_one(old: SqlDatabase) -> None:
    upgrade(old.engine)

    with old.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
