"""Compositions: the list of one's own, and the page of one, which is followed until it is drawn."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from mos_center.dashboard.listing import Key, Listing, listed
from mos_center.dashboard.pictures import Width, picture
from mos_center.dashboard.rendering import (
    Told,
    is_fragment,
    page_path,
    redirect,
    render,
    render_text,
)
from mos_center.dashboard.streaming import streamed
from mos_center.dashboard.visitor import CenterHere, SignedFields, Visitor, VisitorHere
from mos_center.domain.compositions import Composition
from mos_center.service.center import Center

router = APIRouter()

PAGE = 24
PARTS = ("state", "pictures")
Number = Annotated[int, Path(ge=0, le=1000)]


@router.get("/compositions")
def compositions_page(
    request: Request, center: CenterHere, visitor: VisitorHere, after: Key = ""
) -> Response:
    """One's own compositions, newest first; as a part of the page, the same as they are now."""
    found: Listing[Composition] = listed(
        lambda limit: center.compositions.find(
            caller=visitor.caller, before=after or None, limit=limit
        ),
        lambda one: one.id,
        PAGE,
    )
    return render(
        request,
        "compositions/_rows.html" if is_fragment(request) else "compositions/page.html",
        visitor=visitor,
        found=found,
        prompts={one.id: scene_of(one)["prompt"] for one in found.items},
        after=after,
        is_live=any(not one.state.is_finished for one in found.items),
    )


@router.get("/compositions/{composition_id}")
def composition_page(
    composition_id: str, request: Request, center: CenterHere, visitor: VisitorHere
) -> Response:
    """A scene, how far it is, and its pictures."""
    found = center.compositions.get(composition_id, caller=visitor.caller)
    return render(
        request, "composition/page.html", visitor=visitor, **_content(center, found, visitor)
    )


@router.get("/compositions/{composition_id}/events")
def composition_events(
    composition_id: str, request: Request, center: CenterHere, visitor: VisitorHere
) -> StreamingResponse:
    """The page's parts whenever they change, until it is finished."""
    sent = dict.fromkeys(PARTS, "")

    def read(one: Visitor) -> Composition:
        return center.compositions.get(composition_id, caller=one.caller)

    def draw(found: Composition, visitor: Visitor) -> dict[str, str]:
        content = _content(center, found, visitor)
        parts = {
            name: render_text(f"composition/_{name}.html", visitor=visitor, **content)
            for name in PARTS
        }
        changed = {name: html for name, html in parts.items() if html != sent[name]}
        sent.update(changed)
        return changed

    read(visitor)
    return streamed(request, read, draw, lambda found: found.state.is_finished)


@router.post("/compositions/{composition_id}/cancel")
def cancel(
    composition_id: str,
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Stop it at its next denoising step."""
    center.compositions.cancel(composition_id, caller=visitor.caller)
    told = Told("It is cancelled. Pictures that are drawn already stay.")
    return redirect(request, visitor, page_path("compositions", composition_id), told)


@router.get("/compositions/{composition_id}/pictures/{number}")
def picture_file(
    composition_id: str,
    number: Number,
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    width: Width = None,
) -> Response:
    """One of its pictures, in full or small."""
    found = center.compositions.picture(composition_id, number, caller=visitor.caller)
    return picture(request, found.sha256, width)


def scene_of(composition: Composition) -> dict[str, Any]:
    """The scene as data; it was checked when it was taken."""
    scene: dict[str, Any] = json.loads(composition.scene)
    return scene


def _content(center: Center, found: Composition, visitor: Visitor) -> dict[str, Any]:
    scene = scene_of(found)
    keep = center.compositions.rules.keep
    until = found.finished_at + keep if found.finished_at and keep else None
    return {
        "one": found,
        "scene": scene,
        "scene_text": json.dumps(scene, indent=2, ensure_ascii=False),
        "regions": scene.get("regions", []),
        "until": until,
        "is_final": found.state.is_finished,
        "is_own": visitor.caller.name == found.requested_by,
        "now": datetime.now(UTC),
    }
