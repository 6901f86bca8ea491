"""Published models, their aliases and files."""

from __future__ import annotations

import mimetypes
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Request, Response
from pydantic import Field

from mos_center.api.rest.context import (
    MAX_VERSION,
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Page,
    needs_token,
    problems,
)
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.api.rest.weights import ShownWeight, show_weight
from mos_center.domain import models

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[needs_token])


class FusedConcept(Answer):
    name: str
    version: int
    weight: ShownWeight
    words: list[str]


class File(Answer):
    path: str
    size: int
    sha256: str


class ModelVersion(Answer):
    """One immutable version of a model."""

    model: str
    version: int
    aliases: list[str]
    base: str
    base_digest: str
    concepts: list[FusedConcept]
    solver: models.Solver
    fusion_id: str
    build: str
    created_at: datetime
    files: list[File]

    @classmethod
    def of(cls, version: models.ModelVersion) -> Self:
        return cls(
            model=version.model,
            version=version.version,
            aliases=list(version.aliases),
            base=version.base,
            base_digest=version.base_digest,
            concepts=[
                FusedConcept(
                    name=item.name,
                    version=item.version,
                    weight=show_weight(item.weights),
                    words=list(item.words),
                )
                for item in version.concepts
            ],
            solver=version.solver,
            fusion_id=version.fusion_id,
            build=version.build,
            created_at=version.created_at,
            files=[
                File(path=file.path, size=file.size, sha256=file.sha256) for file in version.files
            ],
        )


class Model(Answer):
    """A model with all its versions, newest first."""

    name: str
    aliases: dict[str, int]
    versions: list[ModelVersion]


class AliasTarget(Body):
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]


@router.get("", responses=problems())
def list_models(
    center: CenterHere, limit: Limit = 100, cursor: Cursor = None
) -> Page[ModelVersion]:
    """The newest version of every model, by name."""
    names = center.models.names(after=cursor, limit=limit)
    return Page(
        items=[ModelVersion.of(center.models.get(name, "latest")) for name in names],
        next_cursor=names[-1] if len(names) == limit else None,
    )


@router.get("/{name}", responses=problems(404))
def get_model(name: str, center: CenterHere) -> Model:
    """A model and all its versions."""
    versions = center.models.versions(name)
    return Model(
        name=name,
        aliases={alias: item.version for item in versions for alias in item.aliases},
        versions=[ModelVersion.of(item) for item in versions],
    )


@router.get("/{name}/{revision}", responses=problems(404))
def get_version(name: str, revision: str, center: CenterHere) -> ModelVersion:
    """One version; `revision` is its number or an alias."""
    return ModelVersion.of(center.models.get(name, revision))


@router.get(
    "/{name}/{revision}/files/{path:path}",
    responses=problems(404) | FILE_RESPONSES,
    response_class=Response,
)
def get_file(name: str, revision: str, path: str, request: Request, center: CenterHere) -> Response:
    """One file of a version, whole or in ranges."""
    file = center.models.file(name, revision, path)
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    # Only a number means the same file for ever: aliases move.
    return blob_response(request, center.blobs, file.sha256, media_type, fixed=revision.isdigit())


@router.put("/{name}/aliases/{alias}", responses=problems(404))
def put_alias(
    name: str, alias: str, body: AliasTarget, center: CenterHere, caller: Caller
) -> ModelVersion:
    """Have an alias mean this version; returns the version."""
    return ModelVersion.of(center.models.point(name, alias, body.version, caller))
