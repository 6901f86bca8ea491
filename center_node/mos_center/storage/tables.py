"""The database's tables. Every change here needs a migration (`storage/migrations/versions`)."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
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
    # What the base's own weights and inputs measure, for comparison; {} for bases of old.
    Column("statistics", JSON, nullable=False, server_default="{}"),
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
    # Whoever offered it: the owner, or an admin in the owner's place.
    Column("submitted_by", Name, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("withdrawn_at", Utc),
    # When it was last offered or got a file; null: not since it was added.
    Column("touched_at", Utc),
    # How prompts name it: its words, and after a modifier the class word.
    Column("trigger_words", Text, nullable=False),
    UniqueConstraint("owner", "name", "version"),
    # All that lists and searches look at.
    Index("ix_submissions_listed", "state", "id", "owner", "name", "base", "class_word", "words"),
    # Summed without reading the rows, whose manifests are long.
    Index("ix_submissions_state_bytes", "state", "bytes"),
    Index("ix_submissions_owner_state_name_bytes", "owner", "state", "name", "bytes"),
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
    Column("requested_by", Name, nullable=False, server_default=""),
    Column("priority", String(10), nullable=False, server_default="normal"),
    Column("started_at", Utc),
    # How often a worker began with it; `generation` counts its jobs, one more for each retry.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("generation", Integer, nullable=False, server_default="0"),
    # Begins since it last came further: too many, and it is given up.
    Column("deaths", Integer, nullable=False, server_default="0"),
    # Null: when it was requested.
    Column("queued_at", Utc),
    Column("request_id", String(64), nullable=False, server_default=""),
    # The version of the rules that made it (`domain.build`); empty: not known any more.
    Column("engine", String(20), nullable=False, server_default=""),
    # The fusion that this one repeats without withdrawn concepts.
    Column("refusion_of", Id, index=True),
    # Whether previews are sampled; null: as the center does.
    Column("previews", Boolean),
    Index("ix_fusions_state_id", "state", "id"),
    # By which marks of pictures are looked up.
    Index("ix_fusions_build", "build"),
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

# What happened to a fusion, in order; a block that was fused brings what it found.
fusion_events = Table(
    "fusion_events",
    metadata,
    Column("fusion", ForeignKey("fusions.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Utc, nullable=False),
    Column("kind", String(30), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", Text, nullable=False),
    Column("data", JSON(none_as_null=True)),
)

# Workers by their names, and when each was last heard of.
workers = Table(
    "workers",
    metadata,
    Column("executor", String(100), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("device", String(100), nullable=False),
    Column("version", String(40), nullable=False),
    # The id of the job that it runs; empty: none.
    Column("job", Text, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("stopped_at", Utc),
)

# A model's name belongs to whoever first requested it; empty: to the curators.
models = Table(
    "models",
    metadata,
    Column("name", Name, primary_key=True),
    Column("owner", Name, nullable=False),
    Column("created_at", Utc, nullable=False),
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
    Column("tombstoned_at", Utc),
    Column("tombstone_reason", Text, nullable=False, server_default=""),
)

version_files = Table(
    "version_files",
    metadata,
    Column("model", Name, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("path", String(300), primary_key=True),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Index("ix_version_files_sha256_size", "sha256", "size"),
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

alias_moves = Table(
    "alias_moves",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model", Name, nullable=False),
    Column("alias", Name, nullable=False),
    # Null: the alias was removed.
    Column("version", Integer),
    Column("at", Utc, nullable=False),
    Column("by", Name, nullable=False),
    Index("ix_alias_moves_model_alias_id", "model", "alias", "id"),
)

members = Table(
    "members",
    metadata,
    Column("name", Name, primary_key=True),
    Column("role", String(20), nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("disabled_at", Utc),
    # Null: the center's own limit.
    Column("quota_bytes", BigInteger),
    Column("quota_concepts", Integer),
    Column("quota_jobs", Integer),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("member", ForeignKey("members.name"), nullable=False),
    Column("name", Name, nullable=False),
    Column("sha256", Sha256, nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc),
    Column("revoked_at", Utc),
    Column("last_used_at", Utc),
    UniqueConstraint("member", "name"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("sha256", Sha256, nullable=False, unique=True),
    Column("name", Name),
    Column("role", String(20), nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("invited_by", Name, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("used_at", Utc),
    Column("used_by", Name),
)

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", Sha256, primary_key=True),
    Column("token", ForeignKey("api_tokens.id"), nullable=False),
    Column("expires_at", Utc, nullable=False),
)

# Who may see a concept, all its versions together.
concepts = Table(
    "concepts",
    metadata,
    Column("owner", Name, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("visibility", String(20), nullable=False),
    Column("created_at", Utc, nullable=False),
)

concept_shares = Table(
    "concept_shares",
    metadata,
    Column("owner", Name, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("member", Name, primary_key=True),
    ForeignKeyConstraint(["owner", "name"], ["concepts.owner", "concepts.name"]),
)

# Checks of a concept's statistics, made by recording them again.
concept_audits = Table(
    "concept_audits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("submission", ForeignKey("submissions.id"), nullable=False, index=True),
    Column("state", String(20), nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("requested_by", Name, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Index("ix_concept_audits_state", "state"),
)

# Scenes that members had drawn with a version; they and the pictures are nobody else's.
compositions = Table(
    "compositions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model", Name, nullable=False),
    Column("version", Integer, nullable=False),
    # JSON as text, as `mos_protocol.scene` writes it.
    Column("scene", Text, nullable=False),
    Column("seeds", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("requested_by", Name, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    # When its pictures were let go of.
    Column("released_at", Utc),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
    Index("ix_compositions_requested_by_id", "requested_by", "id"),
    Index("ix_compositions_state_id", "state", "id"),
    Index("ix_compositions_released_at_finished_at", "released_at", "finished_at"),
)

composition_pictures = Table(
    "composition_pictures",
    metadata,
    Column("composition", ForeignKey("compositions.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
)

# What published versions' concepts look like beside their own models, measured.
evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model", Name, nullable=False),
    Column("version", Integer, nullable=False),
    # The set's name, or the texts, or neither: by class word.
    Column("prompts", JSON, nullable=False),
    Column("seeds", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("result", JSON(none_as_null=True)),
    Column("requested_by", Name, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
    Index("ix_evaluations_model_version_id", "model", "version", "id"),
    Index("ix_evaluations_state_id", "state", "id"),
)

# Pictures of an evaluation's concepts; `number` is the concept's place in the version.
evaluation_grids = Table(
    "evaluation_grids",
    metadata,
    Column("evaluation", ForeignKey("evaluations.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("submission", ForeignKey("submissions.id"), nullable=False, index=True),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", Name, primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request", Sha256, nullable=False),
    # Null until the request was answered.
    Column("status", Integer),
    Column("body", Text),
    Column("created_at", Utc, nullable=False, index=True),
)

# Append-only: triggers refuse to change or delete a row.
audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Utc, nullable=False),
    Column("actor", Name, nullable=False),
    Column("action", String(60), nullable=False),
    # In the order of its bytes, so that what begins alike stands together.
    Column(
        "resource",
        String(200).with_variant(String(200, collation="C"), "postgresql"),
        nullable=False,
    ),
    # JSON as text: its bytes are what the hash covers.
    Column("before", Text),
    Column("after", Text),
    Column("request_id", String(64), nullable=False),
    Column("previous", Sha256, nullable=False),
    Column("hash", Sha256, nullable=False),
    Index("ix_audit_log_at_seq", "at", "seq"),
    Index("ix_audit_log_actor_seq", "actor", "seq"),
    Index("ix_audit_log_action_seq", "action", "seq"),
    Index("ix_audit_log_actor_action_seq", "actor", "action", "seq"),
    # What else is asked of the entries about a resource is in the index too.
    Index("ix_audit_log_resource_seq_actor_action", "resource", "seq", "actor", "action"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("url", String(2000), nullable=False),
    Column("secret", String(100), nullable=False),
    Column("events", JSON, nullable=False),
    Column("created_by", Name, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("disabled_at", Utc),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(60), nullable=False),
    Column("resource", String(200), nullable=False),
    Column("data", JSON, nullable=False),
    Column("at", Utc, nullable=False, index=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event", ForeignKey("outbox.id"), primary_key=True),
    Column("webhook", ForeignKey("webhooks.id"), primary_key=True),
    Column("attempts", Integer, nullable=False),
    # Null: no further attempt.
    Column("next_at", Utc, index=True),
    Column("delivered_at", Utc),
    Column("error", Text, nullable=False),
)
