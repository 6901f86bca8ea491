"""Writing a scene: a canvas on which boxes are drawn, fields for all of it, and a check of both.

The whole scene is in the form's fields. Every button but the last sends them back to the same page;
a browser with scripts sends them whenever they change, for the verdict alone.
"""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.errors import InvalidRequest, MosError, NotFound
from mos_protocol.names import LATEST
from mos_protocol.scene import MIN_SIDE
from mos_protocol.scene_file import scene_of

from mos_center.dashboard.compositions.draft import Draft, DraftRegion, faults_of
from mos_center.dashboard.listing import Text
from mos_center.dashboard.rendering import Told, is_fragment, page_path, redirect, render
from mos_center.dashboard.visitor import CenterHere, Fields, SignedFields, Visitor, VisitorHere
from mos_center.domain.models import ModelVersion
from mos_center.domain.ports import BlobStore
from mos_center.service.center import Center

router = APIRouter()

USUAL_SIDE, MOST_SIDE = 512, 1024
_MOST_CONFIG_BYTES = 100_000


@router.get("/compositions/new")
def new_composition_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    model: Text = "",
    version: Text = "",
    origin: Annotated[str, Query(alias="from", max_length=100, pattern=r"^[a-z0-9]*$")] = "",
) -> Response:
    """An empty scene of a version, or one that was drawn before, to be changed."""
    if origin:
        found = center.compositions.get(origin, caller=visitor.caller)
        draft = Draft.of(found.model, found.version, scene_of(json.loads(found.scene)))
    else:
        draft = Draft(model, version or LATEST)
    if not draft.model:
        return render(request, "scene/no_model.html", visitor=visitor)
    drawn = center.compositions.version(draft.model, draft.version, caller=visitor.caller)
    if not draft.width:
        side = str(made_for(drawn, center.blobs))
        draft = Draft(drawn.model, str(drawn.version), width=side, height=side)
    return _page(request, center, visitor, draft, drawn)


@router.post("/compositions/new")
def change_scene(
    request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """The form again, or the verdict alone; nothing is drawn."""
    draft, drawn = _read(center, visitor, fields)
    if fields.has("add"):
        draft = draft.with_region()
    return _page(request, center, visitor, draft.without(fields.text("remove")), drawn)


@router.post("/compositions")
def request_composition(
    request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Queue the scene and lead to its page; otherwise the form, with what is wrong with it."""
    draft, drawn = _read(center, visitor, fields)
    try:
        composition = center.compositions.request(
            draft.model, draft.version, draft.data(), caller=visitor.caller
        )
    except MosError as error:
        return _page(request, center, visitor, draft, drawn, error)
    page = page_path("compositions", composition.id)
    return redirect(request, visitor, page, Told("The scene is in the queue."))


def made_for(version: ModelVersion, blobs: BlobStore) -> int:
    """The side in pixels that the version's base was made for, as its configuration says."""
    latents = _config(version, blobs, "unet").get("sample_size")
    channels = _config(version, blobs, "vae").get("block_out_channels")
    if not isinstance(latents, int) or not isinstance(channels, list) or len(channels) > 8:
        return USUAL_SIDE
    return max(MIN_SIDE, min(latents << max(0, len(channels) - 1), MOST_SIDE))


def _config(version: ModelVersion, blobs: BlobStore, component: str) -> dict[str, object]:
    file = version.file(f"{component}/config.json")
    if file is None or file.size > _MOST_CONFIG_BYTES:
        return {}
    try:
        with blobs.open(file.sha256) as config:
            found = json.load(config)
    except (ValueError, NotFound):
        return {}
    return found if isinstance(found, dict) else {}


def _read(center: Center, visitor: Visitor, fields: Fields) -> tuple[Draft, ModelVersion]:
    draft = Draft.from_fields(fields)
    drawn = center.compositions.version(draft.model, draft.version, caller=visitor.caller)
    return draft, drawn


def _page(
    request: Request,
    center: Center,
    visitor: Visitor,
    draft: Draft,
    version: ModelVersion,
    refused: MosError | None = None,
) -> Response:
    faults = [] if refused is None else list(faults_of(refused.fields, refused.message))
    if refused is None:
        try:
            center.compositions.check(version, draft.data())
        except InvalidRequest as error:
            faults = list(faults_of(error.fields, error.message))
    as_part = is_fragment(request)
    return render(
        request,
        "scene/_verdict.html" if as_part else "scene/page.html",
        visitor=visitor,
        status=200 if refused is None else 422,
        draft=draft,
        version=version,
        concepts=[(item.name, item.trigger) for item in version.concepts],
        faults=faults,
        rules=center.compositions.rules,
        blank=DraftRegion(""),
        oob=as_part,
    )
