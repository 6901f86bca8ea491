"""What a fusion's job tells, who works, and lists that are read by what they are filtered by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

AUDIT_INDEXES = (
    ("at", "seq"),
    ("actor", "seq"),
    ("action", "seq"),
    ("actor", "action", "seq"),
    ("resource", "seq", "actor", "action"),
)


def upgrade() -> None:
    op.create_table(
        "fusion_events",
        sa.Column("fusion", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["fusion"], ["fusions.id"], name=op.f("fk_fusion_events_fusion")),
        sa.PrimaryKeyConstraint("fusion", "seq", name=op.f("pk_fusion_events")),
    )
    op.create_table(
        "workers",
        sa.Column("executor", sa.String(length=100), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("executor", name=op.f("pk_workers")),
    )
    with op.batch_alter_table("fusions") as batch:
        batch.add_column(sa.Column("previews", sa.Boolean(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE audit_log ALTER COLUMN resource TYPE varchar(200) COLLATE "C"')
    for columns in AUDIT_INDEXES:
        name = f"ix_audit_log_{'_'.join(columns)}"
        op.create_index(name, "audit_log", list(columns), unique=False)
    op.drop_index("ix_submissions_state_id", table_name="submissions")
    listed = ("state", "id", "owner", "name", "base", "class_word", "words")
    op.create_index("ix_submissions_listed", "submissions", list(listed), unique=False)
    op.create_index("ix_submissions_state_bytes", "submissions", ["state", "bytes"], unique=False)
    used = ("owner", "state", "name", "bytes")
    op.create_index(f"ix_submissions_{'_'.join(used)}", "submissions", list(used), unique=False)
    op.create_index("ix_concept_audits_state", "concept_audits", ["state"], unique=False)
    op.drop_index("ix_version_files_sha256", table_name="version_files")
    op.create_index(
        "ix_version_files_sha256_size", "version_files", ["sha256", "size"], unique=False
    )
