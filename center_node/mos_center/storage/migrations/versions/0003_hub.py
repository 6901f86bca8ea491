"""Members and their tokens, visibility, audit log, webhooks: a center for many.

Whoever had a token before could do everything: such tokens become members with the role admin.
Concepts were seen by all of them and stay public. Browsers have to log in again.
"""

from __future__ import annotations

import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCOPES = ["admin", "concept:read", "concept:write", "fusion:request", "model:read"]


def upgrade() -> None:
    _make_tables()
    _extend_tables()
    _carry_over()
    _protect_audit_log()


def _make_tables() -> None:
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("alias", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=63), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias_moves")),
    )
    op.create_index(
        "ix_alias_moves_model_alias_id", "alias_moves", ["model", "alias", "id"], unique=False
    )
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=63), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("resource", sa.String(length=200), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    op.create_table(
        "concepts",
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("visibility", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name=op.f("pk_concepts")),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=True),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("invited_by", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by", sa.String(length=63), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("sha256", name=op.f("uq_invitations_sha256")),
    )
    op.create_table(
        "members",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=True),
        sa.Column("quota_concepts", sa.Integer(), nullable=True),
        sa.Column("quota_jobs", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_members")),
    )
    op.create_table(
        "models",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_models")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("resource", sa.String(length=200), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_at"), "outbox", ["at"], unique=False)
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("member", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member"], ["members.name"], name=op.f("fk_api_tokens_member")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("member", "name", name=op.f("uq_api_tokens_member_name")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_tokens_sha256")),
    )
    op.create_table(
        "concept_shares",
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("member", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "name"],
            ["concepts.owner", "concepts.name"],
            name=op.f("fk_concept_shares_owner"),
        ),
        sa.PrimaryKeyConstraint("owner", "name", "member", name=op.f("pk_concept_shares")),
    )
    op.create_table(
        "deliveries",
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("webhook", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["event"], ["outbox.id"], name=op.f("fk_deliveries_event")),
        sa.ForeignKeyConstraint(["webhook"], ["webhooks.id"], name=op.f("fk_deliveries_webhook")),
        sa.PrimaryKeyConstraint("event", "webhook", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_next_at"), "deliveries", ["next_at"], unique=False)
    op.create_table(
        "concept_audits",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("submission", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("requested_by", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_concept_audits_submission")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_concept_audits")),
    )
    op.create_index(
        op.f("ix_concept_audits_submission"), "concept_audits", ["submission"], unique=False
    )
    for name in ("sessions", "idempotency_keys"):
        op.drop_table(name)
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["token"], ["api_tokens.id"], name=op.f("fk_sessions_token")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sessions")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False
    )


def _extend_tables() -> None:
    op.add_column("bases", sa.Column("statistics", sa.JSON(), server_default="{}", nullable=False))
    for column in (
        sa.Column("requested_by", sa.String(length=63), server_default="", nullable=False),
        sa.Column("priority", sa.String(length=10), server_default="normal", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deaths", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.String(length=64), server_default="", nullable=False),
        sa.Column("engine", sa.String(length=20), server_default="", nullable=False),
        sa.Column("refusion_of", sa.String(length=32), nullable=True),
    ):
        op.add_column("fusions", column)
    op.create_index(op.f("ix_fusions_refusion_of"), "fusions", ["refusion_of"], unique=False)
    op.add_column(
        "model_versions", sa.Column("tombstoned_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "model_versions",
        sa.Column("tombstone_reason", sa.Text(), server_default="", nullable=False),
    )
    op.add_column("submissions", sa.Column("submitted_by", sa.String(length=63), nullable=True))
    op.add_column("submissions", sa.Column("bytes", sa.BigInteger(), nullable=True))
    op.add_column(
        "submissions", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("submissions", sa.Column("touched_at", sa.DateTime(timezone=True), nullable=True))


def _carry_over() -> None:
    connection = op.get_bind()
    op.execute(
        "INSERT INTO members (name, role, trusted, created_at) "
        "SELECT name, 'admin', true, created_at FROM tokens"
    )
    for row in connection.execute(sa.text("SELECT * FROM tokens")).all():
        connection.execute(
            sa.text(
                "INSERT INTO api_tokens (id, member, name, sha256, scopes, created_at, revoked_at) "
                "VALUES (:id, :name, :name, :sha256, :scopes, :created_at, :revoked_at)"
            ),
            {**row._mapping, "id": secrets.token_hex(16), "scopes": json.dumps(SCOPES)},
        )
    op.drop_table("tokens")
    op.execute(
        "INSERT INTO concepts (owner, name, visibility, created_at) "
        "SELECT owner, name, 'public', min(created_at) FROM submissions GROUP BY owner, name"
    )
    op.execute(
        "INSERT INTO models (name, owner, created_at) "
        "SELECT model, '', min(created_at) FROM fusions GROUP BY model"
    )
    # Where aliases point now is where a rollback can bring them back to.
    for row in connection.execute(sa.text("SELECT * FROM aliases")).all():
        connection.execute(
            sa.text(
                'INSERT INTO alias_moves (id, model, alias, version, at, "by") '
                "SELECT :id, model, :alias, version, created_at, '' FROM model_versions "
                "WHERE model = :model AND version = :version"
            ),
            {**row._mapping, "id": secrets.token_hex(16)},
        )
    for row in connection.execute(sa.text("SELECT id, owner, manifest FROM submissions")).all():
        size = sum(entry["size"] for entry in json.loads(row.manifest)["files"])
        connection.execute(
            sa.text("UPDATE submissions SET submitted_by = :by, bytes = :size WHERE id = :id"),
            {"by": row.owner, "size": size, "id": row.id},
        )
    with op.batch_alter_table("submissions") as table:
        table.alter_column("submitted_by", existing_type=sa.String(length=63), nullable=False)
        table.alter_column("bytes", existing_type=sa.BigInteger(), nullable=False)


def _protect_audit_log() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_audit_change() RETURNS trigger AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$ LANGUAGE plpgsql"
        )
        op.execute(
            "CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            "ON audit_log EXECUTE FUNCTION refuse_audit_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_log_refuses_{change.lower()} BEFORE {change} ON audit_log "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def downgrade() -> None:
    raise NotImplementedError(
        "Members, rights and the audit log have no place in the former schema: restore a backup."
    )
