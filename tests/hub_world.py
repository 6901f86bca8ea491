"""What hubs are filled with: a tiny base, members with tokens, packages of random concepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_processes import Hub
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.members import Member
from mos_center.opening import opened
from mos_center.service.center import Center
from mos_center.settings import Settings
from mos_diffusion.base_model import layer_map, load_base
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import MANIFEST_FILE, Manifest
from servers import PostgresServer, S3Server
from tiny_base import write_tiny_base
from tiny_package import relist, write_package

BASE = "tiny"


@dataclass(frozen=True)
class World:
    """What clients of the hub need; `tokens` are by member."""

    layers: LayerMap
    tokens: Mapping[str, str]

    @property
    def admin(self) -> str:
        return self.tokens["admin"]


def hub_settings(postgres: PostgresServer, s3: S3Server) -> dict[str, str]:
    """The settings that join all parts: a database and a bucket of their own."""
    return {
        "MOS_DATABASE_URL": postgres.url(postgres.new_database()),
        "MOS_S3_ENDPOINT": s3.endpoint,
        "MOS_S3_ACCESS_KEY": s3.access_key,
        "MOS_S3_SECRET_KEY": s3.secret_key,
        "MOS_S3_BUCKET": s3.new_bucket(),
        "MOS_DEFAULT_VISIBILITY": "public",
        "MOS_RATE_LIMIT": "0",
    }


def settings_of(hub: Hub, name: str) -> Settings:
    """The hub's settings with a data folder of this name, for code of its own in the hub."""
    told = {key.removeprefix("MOS_").lower(): value for key, value in hub.settings.items()
            if key.startswith("MOS_")}  # fmt: skip
    return Settings(**told, data=hub.folder / name)


def furnish(hub: Hub, members: list[str]) -> World:
    """Bring the database up, register the tiny base, and give every member a token."""
    base = hub.folder / "base"
    layers = layer_map(load_base(write_tiny_base(base)))
    with opened(settings_of(hub, "furnish")) as data:
        center = data.center()
        center.bases.add(BASE, base, layers, {})
        return World(layers, add_members(center, members))


def add_members(center: Center, members: list[str]) -> dict[str, str]:
    """Add an admin and these members; returns a token of each."""
    roles = {"admin": Role.ADMIN, **dict.fromkeys(members, Role.MEMBER)}
    tokens = {}
    for name, role in roles.items():
        member: Member = center.members.add(name, role, caller=LOCAL)
        tokens[name], _ = center.tokens.create(member.name, "test", caller=LOCAL)
    return tokens


def write_concept(folder: Path, layers: LayerMap, concept: str, seed: int) -> Manifest:
    """A package of random weights with words of its own."""
    write_package(folder, layers, concept=concept, base_name=BASE, seed=seed)
    changes = {"words": (f"<w{seed}a>", f"<w{seed}b>"), "licence": "CC0-1.0", "consent": "given"}
    manifest = relist(folder).model_copy(update=changes)
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest
