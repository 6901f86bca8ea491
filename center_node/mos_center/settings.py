"""The center's settings: `MOS_…` in the environment, overridden by command-line options."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

from mos_protocol.errors import InvalidRequest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mos_center.domain.access import Visibility
from mos_center.domain.compositions import (
    DEFAULT_KEEP_DAYS,
    DEFAULT_PICTURES,
    DEFAULT_WAITING,
    CompositionRules,
)
from mos_center.domain.evaluations import EvaluationRules
from mos_center.domain.policy import Policy, Previews, Quota, Review, Withdrawal
from mos_center.domain.webhooks import AddressRules

PREFIX = "MOS_"
# Read by mos-client, which may share the environment.
CLIENT_KEYS = frozenset(
    {
        "MOS_CENTER",
        "MOS_TOKEN",
        "MOS_CA",
        "MOS_CLIENT_CERT",
        "MOS_CLIENT_KEY",
        "MOS_CONFIG_DIR",
    }
)
SECRETS_DIR = "MOS_SECRETS_DIR"


class Settings(BaseSettings):
    """Everything a center can be told from outside."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data: Path = Field(default=Path("mos-data"), description="Folder of database, blobs and jobs")
    host: str = Field(default="127.0.0.1", description="Address that REST and gRPC listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="REST port; 0 takes a free one")
    grpc_port: int = Field(default=8001, ge=0, le=65535, description="gRPC port; 0: a free one")
    grpc_address: str = Field(
        default="", description="host:port told to clients when gRPC is reached another way"
    )
    worker: bool = Field(default=True, description="Run fusions in this process")
    review: Review = Field(
        default=Review.AUTOMATIC, description="What becomes of packages that pass validation"
    )
    database_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL; default: SQLite in the data folder"
    )
    sums_cache_bytes: int = Field(
        default=4 << 30, ge=0, description="Bytes kept of fusions' sums for later ones; 0: none"
    )
    previews: Previews = Field(
        default=Previews.AUTO,
        description="Whether fused models are sampled; auto: on a GPU or with a small base",
    )
    compositions: bool = Field(
        default=True, description="Draw members' scenes with published versions"
    )
    compositions_pictures: int = Field(
        default=DEFAULT_PICTURES, ge=1, le=64, description="Pictures of one composition, at most"
    )
    compositions_waiting: int = Field(
        default=DEFAULT_WAITING, ge=1, description="Unfinished compositions per member, at most"
    )
    compositions_keep_days: float = Field(
        default=DEFAULT_KEEP_DAYS,
        ge=0,
        description="Days that pictures of compositions are kept; 0: for ever",
    )
    evaluation_clip: str = Field(
        default="",
        description="CLIP model (folder or hub id) that versions are evaluated by; default: none",
    )
    evaluation_prompts: Path | None = Field(
        default=None, description="File of the prompts of evaluations; default: the paper's"
    )
    log_level: str = Field(
        default="INFO",
        pattern=r"^(DEBUG|INFO|WARNING|ERROR)$",
        description="The least that is logged: DEBUG, INFO, WARNING or ERROR",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Log lines for people (text) or for programs (json)"
    )
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of metrics and health; 0: a free one"
    )

    jobs_url: SecretStr | None = Field(
        default=None, description="Database of the jobs; default: as database_url, else a file"
    )
    executor: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="Name of this worker's slot; default: host name and device",
    )
    device: str = Field(
        default="",
        pattern=r"^(|cpu|cuda(:\d+)?)$",
        description="cpu or cuda:N, where a worker computes; default: a GPU when there is one",
    )

    s3_endpoint: str = Field(
        default="", description="http(s)://host:port of an S3 server; default: a directory"
    )
    s3_bucket: str = Field(default="mos", description="The bucket that holds all blobs")
    s3_access_key: str = Field(default="", description="Access key of the S3 server")
    s3_secret_key: SecretStr = Field(
        default=SecretStr(""), description="Secret key of the S3 server"
    )
    s3_region: str = Field(default="us-east-1", description="Region that requests are signed for")
    s3_public_endpoint: str = Field(
        default="", description="The S3 server as clients reach it; default: s3_endpoint"
    )
    s3_presign: bool = Field(
        default=True, description="Let clients send and fetch files at the S3 server directly"
    )
    s3_cache_bytes: int = Field(
        default=20 << 30, ge=0, description="Bytes of local copies kept of files on the S3 server"
    )

    tls_cert: Path | None = Field(default=None, description="Certificate chain (PEM)")
    tls_key: Path | None = Field(default=None, description="Its private key (PEM)")
    tls_client_ca: Path | None = Field(
        default=None, description="CA (PEM) that clients' certificates must come from"
    )

    default_visibility: Visibility = Field(
        default=Visibility.PRIVATE, description="Who sees a concept unless its owner says so"
    )
    withdrawal: Withdrawal = Field(
        default=Withdrawal.TOMBSTONE,
        description="What becomes of versions with a withdrawn concept",
    )
    require_statements: bool | None = Field(
        default=None,
        description="Refuse packages without licence and consent; default: unless automatic",
    )
    rate_limit: int = Field(
        default=1200, ge=0, description="Calls per minute that one member may make; 0: no limit"
    )
    quota_bytes: int = Field(default=0, ge=0, description="Bytes per member; 0: no limit")
    quota_concepts: int = Field(default=0, ge=0, description="Concepts per member; 0: no limit")
    quota_jobs: int = Field(
        default=0, ge=0, description="Unfinished fusions per member; 0: no limit"
    )
    webhook_private: bool = Field(
        default=False, description="Let webhooks reach addresses of private networks"
    )
    retention_days: float = Field(
        default=0, ge=0, description="Days that versions nobody points at are kept; 0: for ever"
    )
    upload_grace_hours: float = Field(
        default=24, gt=0, description="Age at which unfinished uploads are given up"
    )

    @property
    def blobs(self) -> Path:
        return self.data / "blobs"

    @property
    def cache(self) -> Path:
        return self.data / "cache"

    @property
    def jobs_database(self) -> Path:
        return self.data / "jobs.db"

    @property
    def jobs(self) -> str:
        """The jobs' database as SQLAlchemy's URL, password included: never print it."""
        if self.jobs_url is not None:
            return self.jobs_url.get_secret_value()
        if self.url.startswith("postgresql"):
            return self.url
        return f"sqlite:///{self.jobs_database.resolve()}"

    @property
    def work(self) -> Path:
        return self.data / "work"

    @property
    def evaluations(self) -> Path:
        return self.data / "evaluations"

    @property
    def drawing(self) -> Path:
        return self.data / "drawing"

    @property
    def sums(self) -> Path:
        return self.data / "sums"

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL, password included: never print it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.data / 'center.db').resolve()}"

    @property
    def policy(self) -> Policy:
        """The rules of this center, as the use cases need them."""
        statements = self.require_statements
        return Policy(
            review=self.review,
            visibility=self.default_visibility,
            withdrawal=self.withdrawal,
            statements=self.review is not Review.AUTOMATIC if statements is None else statements,
            quota=Quota(
                self.quota_bytes or None, self.quota_concepts or None, self.quota_jobs or None
            ),
            compositions=CompositionRules(
                is_on=self.compositions,
                pictures=self.compositions_pictures,
                waiting=self.compositions_waiting,
                keep=timedelta(days=self.compositions_keep_days) or None,
            ),
            evaluations=EvaluationRules(is_on=bool(self.evaluation_clip)),
            webhooks=AddressRules(private=self.webhook_private, loopback=self.is_loopback),
            open_without_tokens=self.is_loopback,
        )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the center."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load_settings(environment: Mapping[str, str], **options: object) -> Settings:
    """Read the settings; `options` that are None were not given. Raises `InvalidRequest`."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(
        key
        for key in environment
        if key.upper().startswith(PREFIX) and key.upper() not in known | CLIENT_KEYS | {SECRETS_DIR}
    )
    if unknown:
        raise InvalidRequest(
            f"{unknown[0]} is no setting of mos-center.",
            hint=f"Known: {', '.join(sorted(known))}.",
        )
    given = {name: value for name, value in options.items() if value is not None}
    try:
        # Files named like the settings, in lower case: how container platforms hand out secrets.
        return Settings(_secrets_dir=environment.get(SECRETS_DIR) or None, **given)  # type: ignore[arg-type, call-arg]
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False)[0]
        where = f"{PREFIX}{'_'.join(str(key) for key in item['loc']).upper()}"
        raise InvalidRequest(
            f"{where}: {item['msg']}.", hint="Correct the setting or the option."
        ) from None
