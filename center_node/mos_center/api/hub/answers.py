"""What the hub's client expects to read, filled from model versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Self

from mos_protocol.names import LATEST
from pydantic import Field

from mos_center.api.hub.revisions import ORGANISATION
from mos_center.api.rest.context import Answer
from mos_center.domain.models import ModelVersion, PublishedFile

_POINTER_BYTES = 130


class Lfs(Answer):
    """How a large file is named by content; every file of a version is."""

    sha256: str
    oid: str
    size: int
    pointer_size: int = Field(serialization_alias="pointerSize")

    @classmethod
    def of(cls, file: PublishedFile) -> Self:
        digest = file.sha256
        return cls(sha256=digest, oid=digest, size=file.size, pointer_size=_POINTER_BYTES)


class Sibling(Answer):
    """One file of a repository, by its whole path."""

    rfilename: str
    size: int
    blob_id: str = Field(serialization_alias="blobId")
    lfs: Lfs


class Repository(Answer):
    """A model at one of its versions; `sha` is the commit that stands for the version."""

    id: str
    model_id: str = Field(serialization_alias="modelId")
    author: str = ORGANISATION
    sha: str
    created_at: datetime = Field(serialization_alias="createdAt")
    last_modified: datetime = Field(serialization_alias="lastModified")
    private: bool = True
    gated: bool = False
    disabled: bool = False
    downloads: int = 0
    likes: int = 0
    library_name: str = "diffusers"
    pipeline_tag: str = "text-to-image"
    tags: list[str]
    siblings: list[Sibling]

    @classmethod
    def of(cls, version: ModelVersion) -> Self:
        name = f"{ORGANISATION}/{version.model}"
        return cls(
            id=name,
            model_id=name,
            sha=version.commit,
            created_at=version.created_at,
            last_modified=version.created_at,
            tags=["diffusers", f"base:{version.base}", *(item.name for item in version.concepts)],
            siblings=[_sibling(file) for file in version.files],
        )


class TreeEntry(Answer):
    """A file or a folder; `oid` of a folder stands for its path, for nothing reads it."""

    type: str
    path: str
    oid: str
    size: int
    lfs: Lfs | None = None


class Ref(Answer):
    """A name and the commit it means."""

    name: str
    ref: str
    target_commit: str = Field(serialization_alias="targetCommit")


class Refs(Answer):
    """Versions are tags, aliases are branches: they move."""

    branches: list[Ref]
    tags: list[Ref]
    converts: tuple[Ref, ...] = ()
    pull_requests: tuple[Ref, ...] = Field(default=(), serialization_alias="pullRequests")

    @classmethod
    def of(cls, versions: Iterable[ModelVersion]) -> Self:
        usable = [item for item in versions if item.tombstoned_at is None]
        named = [("main", item) for item in usable if LATEST in item.aliases]
        named += [(alias, item) for item in usable for alias in item.aliases]
        return cls(
            branches=[_ref("heads", name, item) for name, item in named],
            tags=[_ref("tags", f"v{item.version}", item) for item in usable],
        )


class Account(Answer):
    """Whose token this is."""

    type: str = "user"
    name: str
    fullname: str
    orgs: tuple[dict[str, str], ...] = ({"type": "org", "name": ORGANISATION},)
    auth: dict[str, Any]


def tree(files: Iterable[PublishedFile], folder: str, *, recursive: bool) -> list[TreeEntry]:
    """What lies in `folder` ("" is the top), with everything below when `recursive`."""
    found: dict[str, TreeEntry] = {}
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    for file in files:
        if not file.path.startswith(prefix):
            continue
        for entry in _entries(file, prefix):
            if recursive or "/" not in entry.path[len(prefix) :]:
                found.setdefault(entry.path, entry)
    return list(found.values())


def _entries(file: PublishedFile, prefix: str) -> Iterator[TreeEntry]:
    for parent in reversed(PurePosixPath(file.path[len(prefix) :]).parents[:-1]):
        yield TreeEntry(type="directory", path=f"{prefix}{parent}", oid="0" * 40, size=0)
    yield TreeEntry(
        type="file", path=file.path, oid=file.sha256[:40], size=file.size, lfs=Lfs.of(file)
    )


def _sibling(file: PublishedFile) -> Sibling:
    return Sibling(rfilename=file.path, size=file.size, blob_id=file.sha256[:40], lfs=Lfs.of(file))


def _ref(kind: str, name: str, version: ModelVersion) -> Ref:
    return Ref(name=name, ref=f"refs/{kind}/{name}", target_commit=version.commit)
