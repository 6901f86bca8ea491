"""One version of a model: what it was made of, how well it came out, how to get it, and its end."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.errors import InvalidRequest, NotFound
from mos_protocol.names import LATEST

from mos_center.dashboard.listing import Text
from mos_center.dashboard.models.card import card_html
from mos_center.dashboard.models.catalogue import may_change
from mos_center.dashboard.models.drawings import draw_family, family_of
from mos_center.dashboard.models.evaluation import evaluation_view
from mos_center.dashboard.models.previews import fused_previews, own_preview
from mos_center.dashboard.models.quality import layers_view, quality_view
from mos_center.dashboard.models.usage import address_of, usage_of
from mos_center.dashboard.pictures import Width, picture
from mos_center.dashboard.rendering import Told, is_fragment, page_path, redirect, render
from mos_center.dashboard.visitor import PATH, CenterHere, SignedFields, Visitor, VisitorHere
from mos_center.domain.lineage import Ingredient, Lineage
from mos_center.domain.models import ModelVersion
from mos_center.domain.quality import read_layers, read_quality
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center
from mos_center.service.comparison import settings_of

router = APIRouter()

MOST_CONCEPTS = 100
MOST_FILES = 150
MOST_PICTURES = 24
# Of more concepts, the others' pictures are loaded when they are asked for.
FEW_PICTURES = 6
_CARD = "README.md"
_QUALITY_PICTURE = "quality.png"
_MOST_CARD_BYTES = 100_000
_PICTURE = "/concepts/{owner}/{name}/{version}/previews/{file}"
Start = Annotated[int, Query(ge=0, le=100_000)]


@router.get("/models/{name}/{revision}")
def version_page(
    request: Request, name: str, revision: str, center: CenterHere, visitor: VisitorHere
) -> Response:
    """All that is known of a version."""
    lineage, quality = center.lineage.with_quality(name, revision, caller=visitor.caller)
    version = lineage.version
    family = family_of(lineage, links_concepts=visitor.may("GET", _PICTURE))
    return render(
        request,
        "versions/page.html",
        visitor=visitor,
        lineage=lineage,
        family=family,
        drawing=draw_family(family),
        usage=usage_of(version, address_of(request)),
        view=quality_view(quality),
        settings=settings_of(lineage.fusion),
        pictures=_pictures(lineage, visitor),
        most_pictures=MOST_PICTURES,
        few_pictures=FEW_PICTURES,
        most_concepts=MOST_CONCEPTS,
        most_files=MOST_FILES,
        has_card=version.file(_CARD) is not None and version.tombstoned_at is None,
        has_quality_picture=version.file(_QUALITY_PICTURE) is not None,
        withdrawn=[item for item in lineage.ingredients if _is_withdrawn(item)],
        changes=may_change(visitor, version.owner),
        composes=_may_compose(center, visitor, version),
        **evaluation_view(center, version, lineage.ingredients, visitor).content(version),
    )


@router.get("/models/{name}/{revision}/layers")
def layers_page(
    request: Request,
    name: str,
    revision: str,
    center: CenterHere,
    visitor: VisitorHere,
    block: Text = "",
    start: Start = 0,
) -> Response:
    """What every concept keeps in each layer of a block."""
    version = center.models.get(name, revision, caller=visitor.caller)
    number = str(version.version)
    report = center.models.report(name, number, caller=visitor.caller)
    layers = read_layers(report, block)
    if not layers:
        raise NotFound(
            f"The report of {name}@{number} has no block {block!r}.",
            hint="Choose one on the version's page.",
        )
    template = "versions/_layers.html" if is_fragment(request) else "versions/layers.html"
    view = layers_view(read_quality(report), block, layers, start)
    return render(request, template, visitor=visitor, version=version, view=view)


@router.get("/models/{name}/{revision}/card")
def card_page(
    request: Request, name: str, revision: str, center: CenterHere, visitor: VisitorHere
) -> Response:
    """The version's model card."""
    version = center.models.get(name, revision, caller=visitor.caller)
    file = center.models.file(name, str(version.version), _CARD, caller=visitor.caller)
    with center.blobs.open(file.sha256) as card:
        content = card.read(_MOST_CARD_BYTES)
    template = "versions/_card.html" if is_fragment(request) else "versions/card.html"
    return render(
        request,
        template,
        visitor=visitor,
        version=version,
        card=card_html(
            content.decode("utf-8", "replace"), lambda path: _picture_address(version, path)
        ),
        is_cut=file.size > len(content),
    )


@router.get("/models/{name}/{revision}/pictures/{path:path}")
def picture_file(
    request: Request,
    name: str,
    revision: str,
    path: str,
    center: CenterHere,
    visitor: VisitorHere,
    width: Width = None,
) -> Response:
    """A picture of the version, in full or small; only a number means the same one for ever."""
    if not path.endswith(".png"):
        raise NotFound(f"{path!r} is no picture.", hint="Pictures end in .png.")
    file = center.models.file(name, revision, path, caller=visitor.caller)
    return picture(request, file.sha256, width, fixed=revision.isdigit())


@router.get("/models/{name}/{revision}/tombstone")
def tombstone_page(
    request: Request, name: str, revision: str, center: CenterHere, visitor: VisitorHere
) -> Response:
    """Say what a tombstone means for this version, and ask for the reason."""
    version = center.models.get(name, revision, caller=visitor.caller)
    latest = center.models.get(name, LATEST, caller=visitor.caller)
    return render(
        request,
        "versions/tombstone.html",
        visitor=visitor,
        version=version,
        aliases=[alias for alias in version.aliases if alias != LATEST],
        is_latest=latest.version == version.version,
        changes=may_change(visitor, version.owner),
    )


@router.post("/models/{name}/{revision}/tombstone")
def tombstone(
    request: Request,
    name: str,
    revision: str,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Give the version's files out no more."""
    reason = fields.text("reason")
    if not reason:
        raise InvalidRequest(
            "A tombstone needs a reason.", hint="Say why: whoever asks for the files reads it."
        )
    version = center.models.tombstone(name, revision, reason, caller=visitor.caller)
    told = Told(f"{name}@{version.version} is tombstoned: its files are not given out any more.")
    return redirect(request, visitor, page_path("models", name, version.version), told)


@router.post("/models/{name}/{revision}/refusion")
def refuse(
    request: Request,
    name: str,
    revision: str,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Request the version again without its withdrawn concepts, and follow that fusion."""
    fusion, made = center.refusion.request(name, revision, caller=visitor.caller)
    told = Told(
        f"{name} is queued again, without what was withdrawn."
        if made
        else "This re-fusion was requested before: here it is."
    )
    return redirect(request, visitor, page_path("fusions", fusion.id), told)


def _may_compose(center: Center, visitor: Visitor, version: ModelVersion) -> bool:
    """Whether the visitor can have scenes drawn with the version."""
    is_on = center.compositions.rules.is_on and version.tombstoned_at is None
    return is_on and visitor.may("GET", "/compositions/new")


def _own_pictures(lineage: Lineage, visitor: Visitor) -> dict[str, str]:
    """The address of each concept's own picture, by `owner/name@3`, where it may be seen."""
    if not visitor.may("GET", _PICTURE):
        return {}
    found = {
        item.ref: (item, own_preview(item.previews))
        for item in lineage.ingredients
        if item.is_listed and not _is_withdrawn(item)
    }
    return {
        ref: f"{PATH}/{page_path('concepts', item.name, item.version, path)}"
        for ref, (item, path) in found.items()
        if path
    }


def _pictures(lineage: Lineage, visitor: Visitor) -> list[tuple[str, str, str]]:
    """Concept, its picture in the fused model, and its own; "" for a picture that is not there."""
    version = lineage.version
    fused = fused_previews(version)
    own = _own_pictures(lineage, visitor) if fused else {}
    return [
        (ref, _picture_address(version, path) or "", own.get(ref, ""))
        for ref, path in fused.items()
    ]


def _picture_address(version: ModelVersion, path: str) -> str | None:
    """Where the dashboard serves a picture of the version; None when there is no such file."""
    if not path.endswith(".png") or version.file(path) is None:
        return None
    return f"{PATH}/{page_path('models', version.model, version.version, 'pictures', path)}"


def _is_withdrawn(item: Ingredient) -> bool:
    return item.state is SubmissionState.WITHDRAWN
