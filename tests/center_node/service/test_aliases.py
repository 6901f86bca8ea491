from __future__ import annotations

from collections.abc import Callable

import pytest
from callers import ADA, BOB, EVE, RITA
from center_steps import fuse
from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import (
    Conflict,
    Gone,
    InvalidName,
    InvalidRequest,
    NotFound,
    PermissionDenied,
)


@pytest.fixture
def three_versions(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> None:
    """Versions 1 to 3 of ada's model demo, whose concept everybody sees."""
    for version in (1, 2, 3):
        submit()
        fuse(center, data, "demo", [f"ada/potter@{version}"], ADA)
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=ADA)


def meant(center: Center) -> int:
    return center.models.get("demo", "champion", caller=LOCAL).version


def test_an_alias_moves_and_leaves_its_old_version(center: Center, three_versions: None) -> None:
    center.aliases.point("demo", "champion", 1, ADA)
    center.aliases.point("demo", "champion", 2, ADA)

    assert meant(center) == 2
    assert center.models.get("demo", "1", caller=LOCAL).aliases == ()


@pytest.mark.parametrize("alias", ["latest", "3", "No Alias"])
def test_numbers_and_latest_are_no_aliases(
    center: Center, three_versions: None, alias: str
) -> None:
    with pytest.raises(InvalidName):
        center.aliases.point("demo", alias, 1, LOCAL)


def test_every_move_is_remembered_once(center: Center, three_versions: None) -> None:
    for version in (1, 2, 2):
        center.aliases.point("demo", "champion", version, ADA)
    center.aliases.remove("demo", "champion", caller=RITA)

    history = center.aliases.history("demo", "champion", caller=BOB, limit=10)

    assert [(move.version, move.by) for move in history] == [
        (None, "rita"),
        (2, "ada"),
        (1, "ada"),
    ]
    with pytest.raises(NotFound, match="demo@champion"):
        meant(center)
    with pytest.raises(NotFound, match="no alias 'champion'"):
        center.aliases.remove("demo", "champion", caller=ADA)


def test_history_comes_in_pages(center: Center, three_versions: None) -> None:
    for version in (1, 2, 3):
        center.aliases.point("demo", "champion", version, ADA)

    first = center.aliases.history("demo", "champion", caller=ADA, limit=2)
    rest = center.aliases.history("demo", "champion", caller=ADA, before=first[-1].id, limit=2)

    assert [move.version for move in (*first, *rest)] == [3, 2, 1]


def test_a_rollback_goes_to_what_the_alias_meant_before(
    center: Center, three_versions: None
) -> None:
    for version in (1, 2, 3):
        center.aliases.point("demo", "champion", version, ADA)

    assert center.aliases.roll_back("demo", "champion", caller=ADA).version == 2
    assert center.aliases.roll_back("demo", "champion", caller=ADA, to=1).version == 1
    center.aliases.remove("demo", "champion", caller=ADA)
    assert center.aliases.roll_back("demo", "champion", caller=ADA).version == 1


def test_a_rollback_passes_over_tombstoned_versions(center: Center, three_versions: None) -> None:
    for version in (1, 2, 3):
        center.aliases.point("demo", "champion", version, ADA)
    center.models.tombstone("demo", "2", "wrong weights", caller=ADA)

    assert center.aliases.roll_back("demo", "champion", caller=ADA).version == 1
    with pytest.raises(Gone, match="wrong weights"):
        center.aliases.roll_back("demo", "champion", caller=ADA, to=2)
    with pytest.raises(Gone, match="wrong weights"):
        center.aliases.point("demo", "champion", 2, ADA)


def test_a_rollback_needs_somewhere_to_go(center: Center, three_versions: None) -> None:
    center.aliases.point("demo", "champion", 1, ADA)

    with pytest.raises(Conflict, match="never meant another version"):
        center.aliases.roll_back("demo", "champion", caller=ADA)
    with pytest.raises(InvalidRequest, match="never meant demo@3"):
        center.aliases.roll_back("demo", "champion", caller=ADA, to=3)


def test_only_the_models_owner_and_curators_move_aliases(
    center: Center, three_versions: None
) -> None:
    center.aliases.point("demo", "champion", 1, RITA)

    for change in (
        lambda: center.aliases.point("demo", "champion", 2, EVE),
        lambda: center.aliases.remove("demo", "champion", caller=EVE),
        lambda: center.aliases.roll_back("demo", "champion", caller=EVE),
    ):
        with pytest.raises(PermissionDenied, match="'demo' belongs to ada"):
            change()
    assert meant(center) == 1


def test_aliases_of_a_hidden_model_are_not_told(center: Center, three_versions: None) -> None:
    center.aliases.point("demo", "champion", 1, ADA)
    center.concepts.show("ada", "potter", Visibility.PRIVATE, caller=ADA)

    with pytest.raises(NotFound):
        center.aliases.history("demo", "champion", caller=BOB, limit=10)
    with pytest.raises(NotFound):
        center.aliases.point("demo", "champion", 1, BOB)


def test_a_model_tells_its_aliases_with_their_newest_moves(
    center: Center, three_versions: None
) -> None:
    for version in (1, 2, 3):
        center.aliases.point("demo", "stable", version, ADA)
    center.aliases.point("demo", "champion", 2, ADA)
    center.aliases.point("demo", "alpha", 1, ADA)
    center.aliases.remove("demo", "alpha", caller=ADA)
    center.models.tombstone("demo", "2", "wrong weights", caller=ADA)

    found = center.aliases.of_model("demo", caller=BOB, limit=10, moves=2)

    assert [
        (item.alias, item.version, item.is_tombstoned, [move.version for move in item.moves])
        for item in found
    ] == [
        ("champion", 2, True, [2]),
        ("stable", 3, False, [3, 2]),
        ("alpha", None, False, [None, 1]),
    ]
    (first,) = center.aliases.of_model("demo", caller=BOB, limit=1, moves=2)
    assert first.alias == "champion"
    center.concepts.show("ada", "potter", Visibility.PRIVATE, caller=ADA)
    with pytest.raises(NotFound):
        center.aliases.of_model("demo", caller=BOB, limit=10, moves=2)
