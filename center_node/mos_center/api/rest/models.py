"""Published models, their aliases and files."""

from __future__ import annotations

import mimetypes
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request, Response

from mos_center.api.rest.context import (
    Answer,
    Caller,
    CenterHere,
    Cursor,
    Filter,
    Limit,
    Name,
    Page,
    needs_token,
    problems,
)
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.api.rest.weights import ShownWeight, show_weight
from mos_center.domain import models
from mos_center.domain.queries import ModelQuery, Order

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[needs_token])


class FusedConcept(Answer):
    name: str
    version: int
    weight: ShownWeight
    words: list[str]
    trigger: str


class File(Answer):
    path: str
    size: int
    sha256: str


class ModelVersion(Answer):
    """One immutable version of a model; `owner` is the model's, "" when curators look after it.

    A tombstoned version's files are not given out, and after a while no longer listed.
    """

    model: str
    version: int
    aliases: list[str]
    base: str
    base_digest: str
    concepts: list[FusedConcept]
    owner: str
    requested_by: str
    tombstoned_at: datetime | None
    tombstone_reason: str
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
                    trigger=item.trigger,
                )
                for item in version.concepts
            ],
            owner=version.owner,
            requested_by=version.requested_by,
            tombstoned_at=version.tombstoned_at,
            tombstone_reason=version.tombstone_reason,
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
    owner: str
    aliases: dict[str, int]
    versions: list[ModelVersion]


@router.get("", responses=problems())
def list_models(
    center: CenterHere,
    caller: Caller,
    q: Filter = None,
    base: Filter = None,
    concept: Annotated[Filter, Query(description="owner/name")] = None,
    owner: Filter = None,
    sort: Order = Order.NAME,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ModelVersion]:
    """The newest version of every model, of those that fit.

    `q` is found in the names and words of models and their concepts.
    """
    query = ModelQuery(q, base, concept, owner, sort)
    found = center.models.find(query, caller=caller, after=cursor, limit=limit)
    return Page(
        items=[ModelVersion.of(item) for item in found],
        next_cursor=found[-1].model if len(found) == limit else None,
    )


@router.get("/{name}", responses=problems(404))
def get_model(name: Name, center: CenterHere, caller: Caller) -> Model:
    """A model and all its versions."""
    versions = center.models.versions(name, caller=caller)
    return Model(
        name=name,
        owner=versions[0].owner,
        aliases={alias: item.version for item in versions for alias in item.aliases},
        versions=[ModelVersion.of(item) for item in versions],
    )


@router.get("/{name}/{revision}", responses=problems(404))
def get_version(name: Name, revision: Name, center: CenterHere, caller: Caller) -> ModelVersion:
    """One version; `revision` is its number or an alias."""
    return ModelVersion.of(center.models.get(name, revision, caller=caller))


@router.get("/{name}/{revision}/report", responses=problems(404))
def get_report(name: Name, revision: Name, center: CenterHere, caller: Caller) -> dict[str, Any]:
    """The report that a version was published with, also of a tombstoned one.

    `docs/model-format.md` says what is in it; {} when it was published without one.
    """
    return center.models.report(name, revision, caller=caller)


@router.get(
    "/{name}/{revision}/files/{path:path}",
    responses=problems(404, 410) | FILE_RESPONSES,
    response_class=Response,
)
def get_file(
    name: Name, revision: Name, path: Name, request: Request, center: CenterHere, caller: Caller
) -> Response:
    """One file of a version, whole or in ranges."""
    file = center.models.file(name, revision, path, caller=caller)
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    # Only a number means the same file for ever: aliases move.
    return blob_response(request, center.blobs, file.sha256, media_type, fixed=revision.isdigit())
