from __future__ import annotations

from dataclasses import replace

from lineages import ingredient, lineage_of
from mos_center.dashboard.models.drawings import MOST, Box, Drawing, Family, draw_family, family_of
from mos_center.domain.lineage import VersionRef
from mos_protocol.part_weights import PartWeights


def corners(drawing: Drawing) -> list[tuple[int, int, int, int]]:
    width, height = drawing.box_width, drawing.box_height
    return [(node.x, node.y, node.x + width, node.y + height) for node in drawing.nodes]


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_boxes_neither_overlap_nor_leave_the_drawing() -> None:
    box = Box("demo@1", "this version")
    for origins in (1, 2, 13):
        for results in (0, 1, 5):
            for beside in (None, box):
                family = Family(box, beside, beside, (box,) * origins, (box,) * results)
                drawing = draw_family(family)

                found = corners(drawing)
                assert len(found) == origins + results + 1 + 2 * (beside is not None)
                for place, corner in enumerate(found):
                    assert min(corner) >= 0
                    assert corner[2] <= drawing.width
                    assert corner[3] <= drawing.height
                    assert not any(overlap(corner, other) for other in found[place + 1 :])
                assert len(drawing.edges) == len(found) - 1


def test_what_was_withdrawn_is_drawn_first_and_as_gone() -> None:
    items = [ingredient(f"ada/c{number}") for number in range(MOST + 3)]
    items[-1] = ingredient("ada/gone", withdrawn=True)

    family = family_of(lineage_of(*items), links_concepts=True)

    assert [box.label for box in family.origins[:2]] == ["small", "ada/gone@1"]
    assert (family.origins[1].kind, family.origins[1].detail) == ("gone", "withdrawn")
    assert len(family.origins) == MOST + 2
    assert family.origins[-1].label == "and 3 more"


def test_concepts_are_linked_as_far_as_they_may_be_seen() -> None:
    lineage = lineage_of(ingredient("ada/cat"), ingredient("ada/hidden", listed=False))

    _, cat, hidden = family_of(lineage, links_concepts=True).origins

    assert cat.href == "/dashboard/concepts/ada/cat/1"
    assert hidden.href == ""
    assert all(not box.href for box in family_of(lineage, links_concepts=False).origins)


def test_a_box_tells_the_weight_of_its_concept() -> None:
    weights = (PartWeights(), PartWeights.uniform(0.5), PartWeights(spatial=0.5))
    items = [replace(ingredient("ada/cat"), weights=one) for one in weights]

    _, *boxes = family_of(lineage_of(*items), links_concepts=True).origins

    assert [box.detail for box in boxes] == [
        "concept",
        "concept, weight 0.5",
        "concept, weighed by part",
    ]


def test_relations_say_what_they_are_and_what_is_tombstoned() -> None:
    lineage = lineage_of(
        ingredient("ada/cat"),
        predecessor=1,
        successor=3,
        refusions=(VersionRef("demo", 4), VersionRef("other", 1)),
        tombstoned=frozenset({VersionRef("demo", 1)}),
    )

    family = family_of(lineage, links_concepts=True)

    assert family.before is not None
    assert family.after is not None
    assert (family.before.kind, family.before.href) == ("gone", "/dashboard/models/demo/1")
    assert family.before.detail == "the version before, tombstoned"
    assert (family.after.kind, family.after.label) == ("", "demo@3")
    assert [box.label for box in family.results] == ["demo@4", "other@1"]


def test_a_version_is_drawn_once() -> None:
    lineage = lineage_of(
        ingredient("ada/cat"),
        predecessor=1,
        successor=3,
        refusion_of=VersionRef("demo", 1),
        refusions=(VersionRef("demo", 3),),
    )

    family = family_of(lineage, links_concepts=True)

    assert (family.before, family.after) == (None, None)
    assert (family.origins[-1].label, family.origins[-1].detail) == ("demo@1", "repeated here")
    assert [box.label for box in family.results] == ["demo@3"]


def test_a_long_name_is_cut_to_its_box() -> None:
    long = Box("a" * 63 + "@12", "concept")

    assert len(long.short) == 29
    assert long.short.endswith("…")
    assert Box("short", "").short == "short"
