from __future__ import annotations

from collections.abc import Callable

import pytest
from callers import ADA, BOB
from center_steps import publish_as
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Solver, Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.comparison import Comparison, compare
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import NotFound
from mos_protocol.names import parse_model_ref
from mos_protocol.part_weights import PartWeights
from reports import small_report

HALF = PartWeights.uniform(0.5)


@pytest.fixture
def versions(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> None:
    """Versions 1 and 2 of demo: another potter, half of cat, hat instead of bat."""
    for concept in ("ada/potter", "ada/potter", "ada/cat", "ada/bat", "ada/hat"):
        word = concept.partition("/")[2]
        submit(concept=concept, words=(f"<{word}>",))
    publish_as(
        center,
        data,
        FusionRequest(
            "demo",
            "small",
            [WantedConcept("ada/potter", 1), WantedConcept("ada/cat"), WantedConcept("ada/bat")],
        ),
        {"README.md": b"# one", "same.bin": b"same", "old.bin": b"old"},
        small_report({"ada/potter@1": 0.5, "ada/cat@1": 0.75, "ada/bat@1": 0.5}),
        ADA,
    )
    publish_as(
        center,
        data,
        FusionRequest(
            "demo",
            "small",
            [
                WantedConcept("ada/potter", 2),
                WantedConcept("ada/cat", weights=HALF),
                WantedConcept("ada/hat"),
            ],
            solver=Solver.AVERAGE,
        ),
        {"README.md": b"# two!", "same.bin": b"same"},
        small_report({"ada/potter@2": 0.75, "ada/cat@1": 0.5, "ada/hat@1": 1.0}, parts={}),
        ADA,
    )


@pytest.fixture
def found(center: Center, versions: None) -> Comparison:
    return compared(center, "demo@1", "demo@2")


def compared(center: Center, left: str, right: str, caller: object = LOCAL) -> Comparison:
    refs = (parse_model_ref(left), parse_model_ref(right))
    return center.comparisons.of(*refs, caller=caller)


def test_concepts_stand_beside_each_other_by_name(found: Comparison) -> None:
    told = [
        (item.name, item.left and item.left.version, item.right and item.right.version, item.gain)
        for item in found.concepts
    ]

    assert told == [
        ("ada/potter", 1, 2, 0.25),
        ("ada/cat", 1, 1, -0.25),
        ("ada/bat", 1, None, None),
        ("ada/hat", None, 1, None),
    ]
    assert all(item.differs for item in found.concepts)
    assert found.concepts[1].right is not None
    assert found.concepts[1].right.weights == HALF


def test_settings_are_told_where_they_differ(found: Comparison) -> None:
    told = {item.name: (item.left, item.right) for item in found.settings}

    assert told["solver"] == ("closed-form", "average")
    assert told["ridge"] == ("text_encoder 0.001, cross_kv 0.001, spatial 0.001", "")
    assert told.keys() == {"solver", "ridge"}


def test_a_part_that_one_side_says_nothing_of_has_no_residual_there(found: Comparison) -> None:
    told = [(item.part, item.left, item.right) for item in found.parts]

    assert told == [("text_encoder", 0.125, None), ("spatial", 0.125, None)]


def test_files_are_told_where_their_content_differs(found: Comparison) -> None:
    told = [(item.path, bool(item.left), bool(item.right)) for item in found.files]

    assert told == [("README.md", True, True), ("old.bin", True, False)]
    assert found.same_files == 1
    assert (found.left.size, found.right.size) == (12, 10)
    assert found.same_base


def test_a_version_does_not_differ_from_itself(center: Center, versions: None) -> None:
    side = center.comparisons.side(parse_model_ref("demo@1"), caller=LOCAL)

    same = compare(side, side)

    assert not any(item.differs for item in same.concepts)
    assert [item.gain for item in same.concepts] == [0, 0, 0]
    assert (same.settings, same.files, same.same_files) == ((), (), 3)


def test_a_version_without_a_report_is_compared_by_all_else(
    center: Center, data: OpenedData, versions: None
) -> None:
    bare = FusionRequest("bare", "small", [WantedConcept("ada/potter", 1)])
    publish_as(center, data, bare, {"README.md": b"# bare"}, caller=ADA)

    found = compared(center, "demo@1", "bare")

    assert found.concepts[0].gain is None
    assert found.concepts[0].left is not None
    assert found.concepts[0].left.kept is not None


def test_what_the_caller_may_not_read_is_not_compared(center: Center, versions: None) -> None:
    for left, right in (("demo@1", "demo@3"), ("other@1", "demo@1")):
        with pytest.raises(NotFound, match="There is no model"):
            compared(center, left, right)
    with pytest.raises(NotFound, match="demo@1"):
        compared(center, "demo@1", "demo@2", BOB)
