"""Compositions: having a scene drawn with a published version, following it, its pictures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Request, Response
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import LATEST
from mos_protocol.scene_file import MAX_BYTES
from pydantic import Field

from mos_center.api.rest.context import (
    MAX_VERSION,
    Answer,
    Body,
    Caller,
    CenterHere,
    Cursor,
    Limit,
    Name,
    Page,
    needs_token,
    problems,
)
from mos_center.api.rest.files import FILE_RESPONSES, blob_response
from mos_center.api.rest.fusions import Failure, Progress, Slug
from mos_center.domain import compositions
from mos_center.domain.compositions import CompositionState
from mos_center.service.compositions import SceneSource

router = APIRouter(prefix="/v1/compositions", tags=["compositions"], dependencies=[needs_token])

Number = Annotated[int, Path(ge=0, le=1000)]


class CompositionBody(Body):
    """A scene, and the version that draws it; without `version` the model's newest.

    `scene` is the scene as a JSON object, `scene_yaml` the text of a scene file: one of them.
    """

    model: Slug
    version: int | None = Field(default=None, ge=1, le=MAX_VERSION)
    scene: dict[str, Any] | None = None
    scene_yaml: str | None = Field(default=None, max_length=MAX_BYTES)

    @property
    def revision(self) -> str:
        return LATEST if self.version is None else str(self.version)

    def source(self) -> SceneSource:
        """The scene as it came; raises `InvalidRequest` unless it came in one of the ways."""
        found = [one for one in (self.scene, self.scene_yaml) if one is not None]
        if len(found) != 1:
            raise InvalidRequest(
                f"One scene is expected, not {len(found)}.",
                hint="Send `scene`, a JSON object, or `scene_yaml`, a text.",
            )
        return found[0]


class Composition(Answer):
    """A composition; `progress` counts denoising steps.

    `pictures` are the numbers of those that are drawn; picture 0 is that of the first of `seeds`.
    After `released_at` there are none any more.
    """

    id: str
    model: str
    version: int
    scene: dict[str, Any]
    seeds: list[int]
    state: CompositionState
    requested_by: str
    progress: Progress
    seconds_left: int | None
    error: Failure | None
    pictures: list[int]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    released_at: datetime | None

    @classmethod
    def of(cls, one: compositions.Composition) -> Self:
        progress, error = one.progress, one.error
        return cls(
            id=one.id,
            model=one.model,
            version=one.version,
            scene=json.loads(one.scene),
            seeds=list(one.seeds),
            state=one.state,
            requested_by=one.requested_by,
            progress=Progress(done=progress.done, total=progress.total, message=progress.message),
            seconds_left=one.seconds_left(datetime.now(UTC)),
            error=(
                Failure(code=error.code, message=error.message, hint=error.hint) if error else None
            ),
            pictures=sorted(one.pictures),
            created_at=one.created_at,
            started_at=one.started_at,
            finished_at=one.finished_at,
            released_at=one.released_at,
        )


@router.post("", status_code=202, responses=problems(404, 409, 410))
def request_composition(body: CompositionBody, center: CenterHere, caller: Caller) -> Composition:
    """Have a scene drawn. What is wrong with it is told by line or field, before it is queued."""
    found = center.compositions.request(body.model, body.revision, body.source(), caller=caller)
    return Composition.of(found)


@router.get("", responses=problems())
def list_compositions(
    center: CenterHere, caller: Caller, limit: Limit = 100, cursor: Cursor = None
) -> Page[Composition]:
    """Your compositions, newest first; an admin's list is everybody's."""
    found = center.compositions.find(caller=caller, before=cursor, limit=limit)
    return Page(
        items=[Composition.of(one) for one in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.get("/{composition_id}", responses=problems(404))
def get_composition(composition_id: Name, center: CenterHere, caller: Caller) -> Composition:
    """One composition."""
    return Composition.of(center.compositions.get(composition_id, caller=caller))


@router.post("/{composition_id}/cancel", responses=problems(404, 409))
def cancel_composition(composition_id: Name, center: CenterHere, caller: Caller) -> Composition:
    """Cancel it, between two denoising steps; pictures that are drawn already stay."""
    return Composition.of(center.compositions.cancel(composition_id, caller=caller))


@router.get(
    "/{composition_id}/pictures/{number}",
    responses=problems(404, 410) | FILE_RESPONSES,
    response_class=Response,
)
def get_picture(
    composition_id: Name, number: Number, request: Request, center: CenterHere, caller: Caller
) -> Response:
    """One picture, a PNG whose metadata say what made it."""
    picture = center.compositions.picture(composition_id, number, caller=caller)
    return blob_response(request, center.blobs, picture.sha256, "image/png", fixed=True)
