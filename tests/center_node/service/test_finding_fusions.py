"""Fusions are found by what they are, page by page, as far as the caller may read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from callers import ADA, BOB
from center_steps import fuse, request
from mos_center.domain.access import LOCAL, Caller, Visibility
from mos_center.domain.models import Submission
from mos_center.domain.queries import FusionQuery
from mos_center.domain.states import UNFINISHED, FusionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center


@pytest.fixture
def three(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> Center:
    """A published fusion of ada's hidden concept, one with bob's in it, and one of bob's alone."""
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="bob/cat", words=("<cat>",))
    center.concepts.show("bob", "cat", Visibility.PUBLIC, caller=LOCAL)
    fuse(center, data, "heroes", ["ada/potter@1"], ADA)
    request(center, "zoo_heroes", ["ada/potter@1", "bob/cat@1"], ADA)
    request(center, "zoo", ["bob/cat@1"], BOB)
    return center


def found(center: Center, caller: Caller = LOCAL, page: int = 9, **query: object) -> list[str]:
    """The models of all that fit, read page by page."""
    names: list[str] = []
    before = None
    while True:
        items = center.fusions.find(FusionQuery(**query), caller=caller, before=before, limit=page)
        names += [item.model for item in items]
        if len(items) < page:
            return names
        before = items[-1].id


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["zoo", "zoo_heroes", "heroes"]),
        ({"text": "ZOO"}, ["zoo", "zoo_heroes"]),
        ({"text": "o_h"}, ["zoo_heroes"]),
        ({"text": "%"}, []),
        ({"base": "small", "requested_by": "ada"}, ["zoo_heroes", "heroes"]),
        ({"base": "sd15"}, []),
        ({"requested_by": "eve"}, []),
        ({"concept": "bob/cat"}, ["zoo", "zoo_heroes"]),
        ({"concept": "bob/ca"}, []),
        ({"states": UNFINISHED, "concept": "ada/potter"}, ["zoo_heroes"]),
        ({"states": frozenset({FusionState.PUBLISHED})}, ["heroes"]),
    ],
)
@pytest.mark.parametrize("page", [1, 9])
def test_fusions_are_found_by_what_they_are(
    three: Center, query: dict, expected: list[str], page: int
) -> None:
    assert found(three, page=page, **query) == expected


def test_nobody_finds_what_it_may_not_read(three: Center) -> None:
    assert found(three, BOB) == ["zoo"]
    assert found(three, BOB, requested_by="ada") == []
    assert found(three, ADA) == ["zoo", "zoo_heroes", "heroes"]


def test_what_waits_has_its_place_and_states_narrow_the_query(three: Center) -> None:
    queued = three.fusions.find(FusionQuery(text="zoo"), states=UNFINISHED, caller=LOCAL, limit=9)

    assert {item.model: item.queue_position for item in queued} == {"zoo": 2, "zoo_heroes": 1}
    assert (
        three.fusions.find(FusionQuery(states=UNFINISHED), states=[], caller=LOCAL, limit=9) == ()
    )
