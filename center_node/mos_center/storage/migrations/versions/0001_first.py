"""The first schema: bases, submissions, fusions, models, tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bases",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("layer_map", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bases")),
        sa.UniqueConstraint("digest", name=op.f("uq_bases_digest")),
    )
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blobs")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=32), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    op.create_table(
        "base_priors",
        sa.Column("base", sa.String(length=63), nullable=False),
        sa.Column("block", sa.String(length=100), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["base"], ["bases.name"], name=op.f("fk_base_priors_base")),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_base_priors_sha256")),
        sa.PrimaryKeyConstraint("base", "block", name=op.f("pk_base_priors")),
    )
    op.create_index(op.f("ix_base_priors_sha256"), "base_priors", ["sha256"], unique=False)
    op.create_table(
        "fusions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("base", sa.String(length=63), nullable=False),
        sa.Column("solver", sa.String(length=20), nullable=False),
        sa.Column("prior_weight", sa.Float(), nullable=False),
        sa.Column("ridge", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("build", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("model_version", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["base"], ["bases.name"], name=op.f("fk_fusions_base")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fusions")),
    )
    op.create_index("ix_fusions_state_id", "fusions", ["state", "id"], unique=False)
    op.create_index(
        "uq_fusions_model_build_alive",
        "fusions",
        ["model", "build"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running', 'published')"),
        postgresql_where=sa.text("state IN ('queued', 'running', 'published')"),
    )
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=63), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["token"], ["tokens.name"], name=op.f("fk_sessions_token")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sessions")),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("manifest_digest", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("class_word", sa.String(length=40), nullable=False),
        sa.Column("base", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["base"], ["bases.name"], name=op.f("fk_submissions_base")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        sa.UniqueConstraint("manifest_digest", name=op.f("uq_submissions_manifest_digest")),
        sa.UniqueConstraint(
            "owner", "name", "version", name=op.f("uq_submissions_owner_name_version")
        ),
    )
    op.create_index("ix_submissions_state_id", "submissions", ["state", "id"], unique=False)
    op.create_table(
        "fusion_concepts",
        sa.Column("fusion", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("submission", sa.String(length=32), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["fusion"], ["fusions.id"], name=op.f("fk_fusion_concepts_fusion")),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_fusion_concepts_submission")
        ),
        sa.PrimaryKeyConstraint("fusion", "position", name=op.f("pk_fusion_concepts")),
    )
    op.create_index(
        op.f("ix_fusion_concepts_submission"), "fusion_concepts", ["submission"], unique=False
    )
    op.create_table(
        "model_versions",
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fusion", sa.String(length=32), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["fusion"], ["fusions.id"], name=op.f("fk_model_versions_fusion")),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("fusion", name=op.f("uq_model_versions_fusion")),
    )
    op.create_table(
        "submission_files",
        sa.Column("submission", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=120), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["blobs.sha256"], name=op.f("fk_submission_files_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_submission_files_submission")
        ),
        sa.PrimaryKeyConstraint("submission", "path", name=op.f("pk_submission_files")),
    )
    op.create_index(
        op.f("ix_submission_files_sha256"), "submission_files", ["sha256"], unique=False
    )
    op.create_table(
        "aliases",
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("alias", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("fk_aliases_model"),
        ),
        sa.PrimaryKeyConstraint("model", "alias", name=op.f("pk_aliases")),
    )
    op.create_table(
        "version_files",
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.String(length=300), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_versions.model", "model_versions.version"],
            name=op.f("fk_version_files_model"),
        ),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_version_files_sha256")),
        sa.PrimaryKeyConstraint("model", "version", "path", name=op.f("pk_version_files")),
    )
    op.create_index(op.f("ix_version_files_sha256"), "version_files", ["sha256"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_version_files_sha256"), table_name="version_files")
    op.drop_table("version_files")
    op.drop_table("aliases")
    op.drop_index(op.f("ix_submission_files_sha256"), table_name="submission_files")
    op.drop_table("submission_files")
    op.drop_table("model_versions")
    op.drop_index(op.f("ix_fusion_concepts_submission"), table_name="fusion_concepts")
    op.drop_table("fusion_concepts")
    op.drop_index("ix_submissions_state_id", table_name="submissions")
    op.drop_table("submissions")
    op.drop_table("sessions")
    op.drop_index(
        "uq_fusions_model_build_alive",
        table_name="fusions",
        sqlite_where=sa.text("state IN ('queued', 'running', 'published')"),
        postgresql_where=sa.text("state IN ('queued', 'running', 'published')"),
    )
    op.drop_index("ix_fusions_state_id", table_name="fusions")
    op.drop_table("fusions")
    op.drop_index(op.f("ix_base_priors_sha256"), table_name="base_priors")
    op.drop_table("base_priors")
    op.drop_table("tokens")
    op.drop_table("idempotency_keys")
    op.drop_table("blobs")
    op.drop_table("bases")
