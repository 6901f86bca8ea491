"""Two versions side by side."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from mos_protocol.errors import InvalidName, NotFound
from mos_protocol.names import parse_model_ref

from mos_center.dashboard.listing import Text
from mos_center.dashboard.models.previews import fused_previews
from mos_center.dashboard.rendering import page_path, render
from mos_center.dashboard.visitor import PATH, CenterHere, Visitor, VisitorHere
from mos_center.domain.models import ModelVersion
from mos_center.service.center import Center
from mos_center.service.comparison import (
    ComparedConcept,
    Comparison,
    Side,
    SideConcept,
    compare,
)

router = APIRouter()

MOST_CONCEPTS = 100
MOST_FILES = 100
MOST_PICTURES = 24


@dataclass(frozen=True)
class _Choice:
    """What stands in one of the two fields, the version it means, or what is wrong with it."""

    text: str
    side: Side | None = None
    problem: str = ""


@dataclass(frozen=True)
class _Pair:
    """A concept's pictures in both models; "" for one that is not there."""

    name: str
    left: str
    right: str


@router.get("/models/compare")
def compare_page(
    request: Request, center: CenterHere, visitor: VisitorHere, left: Text = "", right: Text = ""
) -> Response:
    """What differs between two versions; whatever can't be compared is said at its field."""
    choices = [_chosen(center, visitor, text) for text in (left, right)]
    sides = [choice.side for choice in choices if choice.side]
    found = compare(*sides) if len(sides) == 2 else None
    return render(
        request,
        "compare/page.html",
        visitor=visitor,
        left=choices[0],
        right=choices[1],
        found=found,
        pairs=_pairs(found)[:MOST_PICTURES] if found else [],
        most_concepts=MOST_CONCEPTS,
        most_files=MOST_FILES,
    )


def _chosen(center: Center, visitor: Visitor, text: str) -> _Choice:
    text = text.strip()
    if not text:
        return _Choice("")
    try:
        return _Choice(text, center.comparisons.side(parse_model_ref(text), caller=visitor.caller))
    except InvalidName as error:
        return _Choice(text, problem=str(error))
    except NotFound as error:
        return _Choice(text, problem=error.message)


def _pairs(found: Comparison) -> list[_Pair]:
    """Concepts with a picture on either side."""
    lefts, rights = (_pictures(side.version) for side in (found.left, found.right))
    pairs = [
        _Pair(item.name, _of(lefts, item, item.left), _of(rights, item, item.right))
        for item in found.concepts
    ]
    return [pair for pair in pairs if pair.left or pair.right]


def _pictures(version: ModelVersion) -> dict[str, str]:
    folder = f"{PATH}/{page_path('models', version.model, version.version, 'pictures')}"
    return {ref: f"{folder}/{page_path(path)}" for ref, path in fused_previews(version).items()}


def _of(pictures: dict[str, str], item: ComparedConcept, side: SideConcept | None) -> str:
    return pictures.get(f"{item.name}@{side.version}", "") if side else ""
