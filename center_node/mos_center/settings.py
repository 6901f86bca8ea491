"""The center's settings: `MOS_…` in the environment, overridden by command-line options."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from mos_protocol.errors import InvalidRequest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mos_center.domain.models import Review

PREFIX = "MOS_"
# Read by mos-client, which may share the environment.
CLIENT_KEYS = frozenset({"MOS_CENTER", "MOS_TOKEN"})


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
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")

    @property
    def blobs(self) -> Path:
        return self.data / "blobs"

    @property
    def jobs_database(self) -> Path:
        return self.data / "jobs.db"

    @property
    def work(self) -> Path:
        return self.data / "work"

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
        if key.upper().startswith(PREFIX) and key.upper() not in known | CLIENT_KEYS
    )
    if unknown:
        raise InvalidRequest(
            f"{unknown[0]} is no setting of mos-center.",
            hint=f"Known: {', '.join(sorted(known))}.",
        )
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False)[0]
        where = f"{PREFIX}{'_'.join(str(key) for key in item['loc']).upper()}"
        raise InvalidRequest(
            f"{where}: {item['msg']}.", hint="Correct the setting or the option."
        ) from None
