"""The database's tables. Every change here needs a migration (`storage/migrations/versions`)."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import BigInteger, TypeDecorator

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class Utc(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the zone, so it is put back when read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


Id = String(32)
Sha256 = String(64)
Name = String(63)

# A row per blob that something refers to. Its lock keeps deleting and referring apart.
blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Sha256, primary_key=True),
)

bases = Table(
    "bases",
    metadata,
    Column("name", Name, primary_key=True),
    Column("digest", Sha256, nullable=False, unique=True),
    Column("path", Text, nullable=False),
    Column("layer_map", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
)

base_priors = Table(
    "base_priors",
    metadata,
    Column("base", ForeignKey("bases.name"), primary_key=True),
    Column("block", String(100), primary_key=True),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("manifest_digest", Sha256, nullable=False, unique=True),
    Column("manifest", Text, nullable=False),
    Column("owner", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("version", Integer),
    Column("words", Text, nullable=False),
    Column("class_word", String(40), nullable=False),
    Column("base", ForeignKey("bases.name"), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("owner", "name", "version"),
    Index("ix_submissions_state_id", "state", "id"),
)

submission_files = Table(
    "submission_files",
    metadata,
    Column("submission", ForeignKey("submissions.id"), primary_key=True),
    Column("path", String(120), primary_key=True),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False, index=True),
)

fusions = Table(
    "fusions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model", Name, nullable=False),
    Column("base", ForeignKey("bases.name"), nullable=False),
    Column("solver", String(20), nullable=False),
    Column("prior_weight", Float, nullable=False),
    Column("ridge", JSON(none_as_null=True)),
    Column("lbfgs_steps", JSON(none_as_null=True)),
    Column("refine_rounds", Integer, nullable=False, server_default="0"),
    Column("exports", JSON, nullable=False, server_default="[]"),
    Column("build", Sha256, nullable=False),
    Column("state", String(20), nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("model_version", Integer),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Index("ix_fusions_state_id", "state", "id"),
    # The same request is fused once, unless it failed or was cancelled.
    Index(
        "uq_fusions_model_build_alive",
        "model",
        "build",
        unique=True,
        sqlite_where=text("state IN ('queued', 'running', 'published')"),
        postgresql_where=text("state IN ('queued', 'running', 'published')"),
    ),
)

fusion_concepts = Table(
    "fusion_concepts",
    metadata,
    Column("fusion", ForeignKey("fusions.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("submission", ForeignKey("submissions.id"), nullable=False, index=True),
    # A column per part: `weight_` and the part's name.
    Column("weight_text_encoder", Float, nullable=False),
    Column("weight_cross_kv", Float, nullable=False),
    Column("weight_spatial", Float, nullable=False),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model", Name, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    # One fusion publishes one version, whatever happens to its worker.
    Column("fusion", ForeignKey("fusions.id"), nullable=False, unique=True),
    Column("report", JSON, nullable=False),
    Column("created_at", Utc, nullable=False),
)

version_files = Table(
    "version_files",
    metadata,
    Column("model", Name, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("path", String(300), primary_key=True),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", Name, primary_key=True),
    Column("alias", Name, primary_key=True),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", Name, primary_key=True),
    Column("sha256", Sha256, nullable=False, unique=True),
    Column("created_at", Utc, nullable=False),
    Column("revoked_at", Utc),
)

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", Sha256, primary_key=True),
    Column("token", ForeignKey("tokens.name"), nullable=False),
    Column("expires_at", Utc, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", Name, primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request", Sha256, nullable=False),
    Column("resource", Id, nullable=False),
    Column("created", Integer, nullable=False),
    Column("created_at", Utc, nullable=False),
)
