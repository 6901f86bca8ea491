"""Databases of every former schema, with data in them, become what this release needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from concept_packages import small_layer_map, write_package
from mos_center.domain.access import Role, Visibility
from mos_center.domain.members import Member
from mos_center.domain.models import Solver
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import newest_revision, revision_of, upgrade
from mos_center.storage.tables import metadata
from mos_protocol.errors import Unavailable
from mos_protocol.layer_map import Part
from mos_protocol.manifest import read_manifest
from mos_protocol.part_weights import PartWeights
from servers import free_ports
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError


def differences(database: SqlDatabase) -> list[object]:
    """What the code's tables have and the database's have not, or the other way."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, metadata)


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(database: SqlDatabase) -> None:
    assert differences(database) == []
    assert revision_of(database.engine) == newest_revision()


def test_upgrading_a_new_database_again_changes_nothing(database: SqlDatabase) -> None:
    with database.write() as transaction:
        transaction.members.add(Member("ada", Role.MEMBER, datetime.now(UTC)))

    upgrade(database.engine)

    with database.read() as transaction:
        assert [member.name for member in transaction.members.all()] == ["ada"]


def test_many_processes_may_make_the_tables_at_once(empty_url: str) -> None:
    command = [sys.executable, "-c", _UPGRADES, empty_url]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate()[1] for process in running]

    assert [process.returncode for process in running] == [0] * 4, told
    database = SqlDatabase(empty_url)
    assert differences(database) == []
    database.close()


def test_a_database_that_nobody_answers_for_is_unavailable() -> None:
    database = SqlDatabase(f"postgresql+psycopg://mos@127.0.0.1:{free_ports(1)[0]}/center")

    with pytest.raises(Unavailable):
        upgrade(database.engine)


_UPGRADES = """
import sys
from mos_center.storage.database import SqlDatabase
from mos_center.storage.migrations import upgrade
upgrade(SqlDatabase(sys.argv[1]).engine)
"""


@pytest.fixture(params=["0001", "0002"])
def old(request: pytest.FixtureRequest, empty_url: str, tmp_path: Path) -> Iterator[SqlDatabase]:
    """A database of a former schema with a published fusion, an alias and a token."""
    database = SqlDatabase(empty_url)
    upgrade(database.engine, request.param)
    manifest = read_manifest(write_package(tmp_path / "package"))
    values = {
        "base": "small",
        "digest": "ab" * 32,
        "layer_map": small_layer_map().model_dump_json(),
        "manifest": manifest.to_bytes().decode(),
        "manifest_digest": manifest.digest(),
        "build": "c" * 64,
        "ridge": '{"spatial": 0.25}',
        "file": "d" * 64,
        "now": datetime(2026, 1, 2, tzinfo=UTC).isoformat(sep=" "),
    }
    with database.engine.begin() as connection:
        for statement in (*OLD_ROWS, OLD_WEIGHTS[request.param]):
            used = {key: value for key, value in values.items() if f":{key}" in statement}
            connection.execute(text(statement), used)
    yield database
    database.close()


OLD_ROWS = (
    "INSERT INTO bases VALUES (:base, :digest, '/models/small', :layer_map, :now)",
    "INSERT INTO submissions VALUES ('s1', :manifest_digest, :manifest, 'ada', 'potter', 1, "
    "'<potter1> <potter2>', 'man', :base, 'approved', '', :now)",
    "INSERT INTO blobs VALUES (:file)",
    "INSERT INTO submission_files VALUES ('s1', 'concept.safetensors', :file)",
    "INSERT INTO fusions (id, model, base, solver, prior_weight, ridge, build, state, done, total, "
    "message, model_version, created_at) VALUES ('f1', 'demo', :base, 'lbfgs', 0.5, :ridge, "
    ":build, 'published', 3, 3, 'published', 1, :now)",
    "INSERT INTO model_versions VALUES ('demo', 1, 'f1', '{}', :now)",
    "INSERT INTO version_files VALUES ('demo', 1, 'README.md', :file, 7)",
    "INSERT INTO aliases VALUES ('demo', 'champion', 1)",
    "INSERT INTO tokens (name, sha256, created_at) VALUES ('bob', :file, :now)",
)
OLD_WEIGHTS = {
    "0001": "INSERT INTO fusion_concepts (fusion, position, submission, weight) "
    "VALUES ('f1', 0, 's1', 0.75)",
    "0002": "INSERT INTO fusion_concepts (fusion, position, submission, weight_text_encoder, "
    "weight_cross_kv, weight_spatial) VALUES ('f1', 0, 's1', 0.75, 0.75, 0.75)",
}


def test_fusions_of_former_releases_read_as_they_were_asked_for(old: SqlDatabase) -> None:
    upgrade(old.engine)

    with old.read() as transaction:
        fusion = transaction.fusions.get("f1")
        (version,) = transaction.models.versions("demo", viewer=None)
    assert fusion is not None
    assert fusion.concepts[0].weights == PartWeights.uniform(0.75)
    assert version.concepts[0].weights == PartWeights.uniform(0.75)
    assert version.concepts[0].trigger == "<potter1> <potter2>"
    assert (fusion.solver, fusion.prior_weight) == (Solver.LBFGS, 0.5)
    assert fusion.ridge == {Part.SPATIAL: 0.25}
    assert (fusion.lbfgs_steps, fusion.refine_rounds, fusion.exports) == (None, 0, ())
    assert fusion.created_at == datetime(2026, 1, 2, tzinfo=UTC)


def test_whoever_had_a_token_is_an_admin_and_all_concepts_stay_public(old: SqlDatabase) -> None:
    upgrade(old.engine)

    with old.read() as transaction:
        bob = transaction.members.get("bob")
        (token,) = transaction.tokens.find("bob")
        concept = transaction.concepts.get("ada", "potter")
        submission = transaction.submissions.get("s1")
        assert transaction.submissions.files("s1") == {"concept.safetensors": "d" * 64}
        assert transaction.aliases.get("demo", "champion") == 1
        assert [
            move.version for move in transaction.aliases.moves("demo", "champion", limit=9)
        ] == [1]
    assert bob is not None
    assert bob.role is Role.ADMIN
    assert token.sha256 == "d" * 64
    assert concept is not None
    assert concept.visibility is Visibility.PUBLIC
    assert submission is not None
    assert submission.submitted_by == "ada"


def test_an_upgraded_database_has_the_tables_of_a_new_one(old: SqlDatabase) -> None:
    upgrade(old.engine)

    assert differences(old) == []


def test_references_are_still_enforced_after_an_upgrade(old: SqlDatabase) -> None:
    upgrade(old.engine)

    with old.engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("DELETE FROM submissions"))
