"""Evaluations of versions, compositions, and the marks that pictures carry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Each part in a function of its own below."""
    _add_triggers()
    _add_evaluations()
    _add_compositions()
    _index_builds()


def _add_triggers() -> None:
    # Before there were modifiers, prompts named every concept by its words alone.
    op.add_column("submissions", sa.Column("trigger_words", sa.Text(), nullable=True))
    op.execute("UPDATE submissions SET trigger_words = words")
    with op.batch_alter_table("submissions") as table:
        table.alter_column("trigger_words", existing_type=sa.Text(), nullable=False)


def _add_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("prompts", sa.JSON(), nullable=False),
        sa.Column("seeds", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("requested_by", sa.String(length=63), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("fk_evaluations_model"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
    for columns in (("model", "version", "id"), ("state", "id")):
        name = f"ix_evaluations_{'_'.join(columns)}"
        op.create_index(name, "evaluations", list(columns), unique=False)
    op.create_table(
        "evaluation_grids",
        sa.Column("evaluation", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("submission", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation"], ["evaluations.id"], name=op.f("fk_evaluation_grids_evaluation")
        ),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_evaluation_grids_submission")
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["blobs.sha256"], name=op.f("fk_evaluation_grids_sha256")
        ),
        sa.PrimaryKeyConstraint("evaluation", "number", name=op.f("pk_evaluation_grids")),
    )
    for column in ("submission", "sha256"):
        name = op.f(f"ix_evaluation_grids_{column}")
        op.create_index(name, "evaluation_grids", [column], unique=False)


def _add_compositions() -> None:
    op.create_table(
        "compositions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("scene", sa.Text(), nullable=False),
        sa.Column("seeds", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("requested_by", sa.String(length=63), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("fk_compositions_model"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compositions")),
    )
    for columns in (("requested_by", "id"), ("state", "id"), ("released_at", "finished_at")):
        name = f"ix_compositions_{'_'.join(columns)}"
        op.create_index(name, "compositions", list(columns), unique=False)
    op.create_table(
        "composition_pictures",
        sa.Column("composition", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["composition"], ["compositions.id"], name=op.f("fk_composition_pictures_composition")
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["blobs.sha256"], name=op.f("fk_composition_pictures_sha256")
        ),
        sa.PrimaryKeyConstraint("composition", "number", name=op.f("pk_composition_pictures")),
    )
    name = op.f("ix_composition_pictures_sha256")
    op.create_index(name, "composition_pictures", ["sha256"], unique=False)


def _index_builds() -> None:
    op.create_index("ix_fusions_build", "fusions", ["build"], unique=False)
