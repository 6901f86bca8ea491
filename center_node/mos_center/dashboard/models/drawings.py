"""Where the boxes and lines of a drawing go; templates make SVG of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mos_center.dashboard.rendering import page_path
from mos_center.dashboard.visitor import PATH
from mos_center.domain.lineage import Ingredient, Lineage, VersionRef
from mos_center.domain.states import SubmissionState

MOST = 12
"""More concepts or versions of one kind are not drawn, but counted."""
_WIDTH, _HEIGHT = 230, 44
_ACROSS, _DOWN = 90, 12
_BESIDE = 34
_LABEL = 29

Kind = Literal["", "here", "gone"]


@dataclass(frozen=True)
class Box:
    """A thing with a word about it; `href` is "" where there is no page to go to."""

    label: str
    detail: str
    href: str = ""
    kind: Kind = ""

    @property
    def short(self) -> str:
        """The label as far as it fits."""
        return self.label if len(self.label) <= _LABEL else f"{self.label[: _LABEL - 1]}…"


@dataclass(frozen=True)
class Node:
    """A box with its upper left corner."""

    box: Box
    x: int
    y: int

    @property
    def middle(self) -> int:
        return self.y + _HEIGHT // 2


@dataclass(frozen=True)
class Drawing:
    """Nodes, the paths of lines between them, and the size of it all."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    edges: tuple[str, ...]
    box_width: int = _WIDTH
    box_height: int = _HEIGHT


@dataclass(frozen=True)
class Family:
    """A version's relations as boxes: what it was made of, its neighbours, what came of it."""

    here: Box
    before: Box | None
    after: Box | None
    origins: tuple[Box, ...]
    results: tuple[Box, ...]


def family_of(lineage: Lineage, *, links_concepts: bool) -> Family:
    """The boxes of a lineage; concepts are linked as far as whoever looks may see them."""
    version = lineage.version
    here = VersionRef(version.model, version.version)
    origins = [
        Box(version.base, "base model"),
        *_some([_concept(item, links_concepts) for item in _told_first(lineage.ingredients)]),
    ]
    if lineage.refusion_of is not None:
        origins.append(_version(lineage, lineage.refusion_of, "repeated here"))
    return Family(
        here=Box(str(here), "tombstoned" if version.tombstoned_at else "this version", kind="here"),
        before=_neighbour(lineage, lineage.predecessor, "the version before"),
        after=_neighbour(lineage, lineage.successor, "the version after"),
        origins=tuple(origins),
        results=_some([_version(lineage, ref, "re-fusion") for ref in lineage.refusions]),
    )


def draw_family(family: Family) -> Drawing:
    """Origins left, the version between its neighbours in the middle, what came of it right."""
    rows = max(len(family.origins), len(family.results), 1)
    beside = 2 * (_HEIGHT + _BESIDE) if family.before or family.after else 0
    height = max(rows * (_HEIGHT + _DOWN) - _DOWN, _HEIGHT + beside)
    left = _column(family.origins, 0, height)
    centre = _column([family.here], 1, height)[0]
    right = _column(family.results, 2, height)
    step = _HEIGHT + _BESIDE
    above = [Node(family.before, centre.x, centre.y - step)] if family.before else []
    below = [Node(family.after, centre.x, centre.y + step)] if family.after else []
    edges = [
        *(_across(node, centre) for node in left),
        *(_across(centre, node) for node in right),
        *(_along(node, centre) for node in above),
        *(_along(centre, node) for node in below),
    ]
    columns = 3 if right else 2
    width = columns * _WIDTH + (columns - 1) * _ACROSS
    return Drawing(width, height, (*left, *above, centre, *below, *right), tuple(edges))


def _told_first(ingredients: Sequence[Ingredient]) -> list[Ingredient]:
    """Withdrawn ones first, as they must not fall out of the drawing."""
    return sorted(ingredients, key=lambda item: item.state is not SubmissionState.WITHDRAWN)


def _concept(item: Ingredient, links: bool) -> Box:
    page = f"{PATH}/{page_path('concepts', item.name, item.version)}"
    href = page if links and item.is_listed else ""
    if item.state is SubmissionState.WITHDRAWN:
        return Box(item.ref, "withdrawn", href, "gone")
    if not item.weights.is_uniform:
        return Box(item.ref, "concept, weighed by part", href)
    weight = item.weights.text_encoder
    return Box(item.ref, "concept" if weight == 1 else f"concept, weight {weight:g}", href)


def _neighbour(lineage: Lineage, number: int | None, detail: str) -> Box | None:
    """The version of that number, unless it stands in the drawing as a relation already."""
    ref = VersionRef(lineage.version.model, number or 0)
    if number is None or ref in (lineage.refusion_of, *lineage.refusions):
        return None
    return _version(lineage, ref, detail)


def _version(lineage: Lineage, ref: VersionRef, detail: str) -> Box:
    href = f"{PATH}/{page_path('models', ref.model, ref.version)}"
    if ref in lineage.tombstoned:
        return Box(str(ref), f"{detail}, tombstoned", href, "gone")
    return Box(str(ref), detail, href)


def _some(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The first ones, and a box that counts the others."""
    if len(boxes) <= MOST:
        return tuple(boxes)
    return (*boxes[:MOST], Box(f"and {len(boxes) - MOST} more", "not drawn"))


def _column(boxes: Sequence[Box], column: int, height: int) -> list[Node]:
    used = len(boxes) * (_HEIGHT + _DOWN) - _DOWN
    top, x = (height - used) // 2, column * (_WIDTH + _ACROSS)
    return [Node(box, x, top + row * (_HEIGHT + _DOWN)) for row, box in enumerate(boxes)]


def _across(start: Node, end: Node) -> str:
    """A curve from one column to the next."""
    bend = start.x + _WIDTH + _ACROSS // 2
    return (
        f"M {start.x + _WIDTH} {start.middle} "
        f"C {bend} {start.middle}, {bend} {end.middle}, {end.x} {end.middle}"
    )


def _along(start: Node, end: Node) -> str:
    """A line down the column."""
    x = start.x + _WIDTH // 2
    return f"M {x} {start.y + _HEIGHT} V {end.y}"
