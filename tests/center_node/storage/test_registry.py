"""Searching and following the registry, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from callers import ADA, BOB, EVE
from center_steps import fuse, request, submit_folder
from concept_packages import small_layer_map, write_package
from mos_center.domain.access import LOCAL, Caller, Visibility
from mos_center.domain.policy import Usage
from mos_center.domain.queries import ConceptQuery, ModelQuery, Order
from mos_center.opening import OpenedData, opened
from mos_center.service.center import Center
from mos_center.settings import Settings
from mos_protocol.names import Digest
from sqlalchemy import event

CONCEPTS = ("ada/potter", "bob/cat", "ada/hat", "bob/potter-cat", "ada/potter", "eve/zoo")


@pytest.fixture
def data(empty_url: str, tmp_path: Path) -> Iterator[OpenedData]:
    """A center on either database."""
    with opened(Settings(data=tmp_path / "data", database_url=empty_url, worker=False)) as found:
        yield found


@pytest.fixture
def center(data: OpenedData, tmp_path: Path) -> Center:
    """Concepts of three members, all public but eve's, and four models of them."""
    center = data.center()
    center.bases.add("small", tmp_path, small_layer_map(), {})
    for number, concept in enumerate(CONCEPTS):
        word = concept.partition("/")[2]
        folder = write_package(
            tmp_path / str(number), concept=concept, words=(f"<{word}>",), seed=number
        )
        submit_folder(center, folder)
    for name in {*CONCEPTS} - {"eve/zoo"}:
        center.concepts.show(*name.split("/"), Visibility.PUBLIC, caller=LOCAL)
    fuse(center, data, "zoo", ["eve/zoo@1", "bob/cat@1"], EVE)
    fuse(center, data, "cats", ["bob/cat@1"], BOB)
    fuse(center, data, "heroes", ["ada/potter@1"], ADA)
    fuse(center, data, "heroes", ["ada/potter@2", "ada/hat@1"], ADA)
    fuse(center, data, "a-mix", ["ada/potter@2", "bob/cat@1"], ADA)
    return center


def concepts(center: Center, caller: Caller = LOCAL, page: int = 100, **query: object) -> list[str]:
    """All that fit, read page by page."""
    found, before = [], None
    while True:
        items = center.concepts.find(
            ConceptQuery(**query), caller=caller, before=before, limit=page
        )
        found += [f"{item.concept}@{item.version}" for item in items]
        if len(items) < page:
            return found
        before = items[-1].id


def models(center: Center, caller: Caller = LOCAL, page: int = 100, **query: object) -> list[str]:
    """All that fit, read page by page."""
    found, after = [], None
    while True:
        items = center.models.find(ModelQuery(**query), caller=caller, after=after, limit=page)
        found += [f"{item.model}@{item.version}" for item in items]
        if len(items) < page:
            return found
        after = items[-1].model


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"owner": "bob"}, {"bob/cat@1", "bob/potter-cat@1"}),
        ({"text": "CAT"}, {"bob/cat@1", "bob/potter-cat@1"}),
        ({"text": "%"}, set()),
        ({"word": "<cat>"}, {"bob/cat@1"}),
        ({"word": "cat"}, set()),
        ({"class_word": "man", "owner": "eve"}, {"eve/zoo@1"}),
        ({"class_word": "dog"}, set()),
        ({"visibility": Visibility.PRIVATE}, {"eve/zoo@1"}),
        ({"base": "other"}, set()),
    ],
)
def test_concepts_are_found_by_what_is_asked(
    center: Center, query: dict[str, object], expected: set[str]
) -> None:
    assert set(concepts(center, **query)) == expected


@pytest.mark.parametrize("order", Order)
def test_pages_of_concepts_are_complete_in_every_order(center: Center, order: Order) -> None:
    whole = concepts(center, order=order)

    assert concepts(center, page=2, order=order) == whole
    assert len(whole) == len(set(whole)) == len(CONCEPTS)
    if order is Order.NAME:
        names = [ref.partition("@")[0] for ref in whole]
        assert names == sorted(names)
        assert whole.index("ada/potter@2") < whole.index("ada/potter@1")


def test_concepts_of_others_are_listed_as_far_as_they_are_shown(center: Center) -> None:
    assert "eve/zoo@1" in concepts(center, EVE)
    assert "eve/zoo@1" not in concepts(center, BOB)
    assert concepts(center, BOB, visibility=Visibility.PRIVATE) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a-mix@1", "cats@1", "heroes@2", "zoo@1"]),
        ({"text": "HERO"}, ["heroes@2"]),
        ({"text": "potter"}, ["a-mix@1", "heroes@2"]),
        ({"text": "ada/ha"}, ["heroes@2"]),
        ({"concept": "bob/cat"}, ["a-mix@1", "cats@1", "zoo@1"]),
        ({"concept": "bob/nothing"}, []),
        ({"owner": "ada"}, ["a-mix@1", "heroes@2"]),
        ({"owner": "ada", "concept": "bob/cat"}, ["a-mix@1"]),
        ({"base": "small", "text": "zoo"}, ["zoo@1"]),
        ({"base": "other"}, []),
    ],
)
def test_models_are_found_by_what_is_asked(
    center: Center, query: dict[str, object], expected: list[str]
) -> None:
    assert models(center, **query) == expected


@pytest.mark.parametrize("order", Order)
def test_pages_of_models_are_complete_in_every_order(center: Center, order: Order) -> None:
    assert models(center, page=1, order=order) == models(center, order=order)


def test_the_newest_version_of_a_model_is_one_that_is_given_out(center: Center) -> None:
    assert models(center, ADA) == ["a-mix@1", "cats@1", "heroes@2"]
    center.models.tombstone("heroes", "2", "wrong", caller=ADA)
    assert models(center, ADA, text="heroes") == ["heroes@1"]
    center.models.tombstone("heroes", "1", "wrong", caller=ADA)
    assert models(center, ADA, text="heroes") == ["heroes@2"]


@pytest.mark.parametrize("order", Order)
def test_an_older_version_stands_for_a_model_whose_newer_one_is_hidden(
    center: Center, order: Order
) -> None:
    center.concepts.show("ada", "hat", Visibility.PRIVATE, caller=ADA)

    assert models(center, BOB, text="heroes", order=order) == ["heroes@1"]
    assert models(center, BOB, text="ada/hat", order=order) == []
    assert "heroes@1" in models(center, BOB, page=1, order=order)


def test_lists_take_as_many_queries_for_many_models_as_for_one(
    center: Center, data: OpenedData
) -> None:
    def queries(limit: int) -> int:
        asked: list[str] = []

        def listen(connection: object, cursor: object, statement: str, *more: object) -> None:
            asked.append(statement)

        event.listen(data.database.engine, "before_cursor_execute", listen)
        center.models.find(ModelQuery(), caller=LOCAL, limit=limit)
        event.remove(data.database.engine, "before_cursor_execute", listen)
        return len(asked)

    assert queries(1) == queries(4)


def test_a_withdrawal_reaches_every_table(center: Center, data: OpenedData) -> None:
    waiting = request(center, "later", ["bob/cat@1"], BOB)

    withdrawn = center.withdrawal.withdraw("bob", "cat", 1, "asked to", caller=BOB)

    assert withdrawn.ended_fusions == (waiting.id,)
    assert {(item.version.model, item.remaining) for item in withdrawn.affected} == {
        ("zoo", 1),
        ("cats", 0),
        ("a-mix", 1),
    }
    refusion, made = center.refusion.request("a-mix", "1", caller=ADA)
    assert (made, [item.ref for item in refusion.concepts]) == (True, ["ada/potter@2"])
    assert center.quotas.usage("bob").used.concepts == 1
    assert center.quotas.usage("ada").used == Usage(
        sum(
            item.size
            for item in center.concepts.find(ConceptQuery(owner="ada"), caller=ADA, limit=9)
        ),
        2,
        1,
    )


def test_lineage_and_files_are_followed_both_ways(center: Center) -> None:
    lineage = center.lineage.of_version("heroes", "latest", caller=ADA)
    with_potter = center.lineage.versions_with("ada", "potter", 2, caller=BOB, limit=10)
    weights = center.models.get("heroes", "2", caller=ADA).files[0].sha256
    manifest = lineage.ingredients[0].manifest_digest

    assert [item.ref for item in lineage.ingredients] == ["ada/potter@2", "ada/hat@1"]
    assert lineage.predecessor == 1
    assert {item.model for item in with_potter} == {"heroes", "a-mix"}
    assert [str(item.model) for item in center.lineage.holders(weights, caller=BOB).versions] == [
        "heroes"
    ]
    (holder,) = center.lineage.holders(Digest(manifest), caller=BOB).concepts
    assert (holder.concept, holder.version, holder.path) == ("ada/potter", 2, "manifest.json")


def test_versions_expire_and_their_files_are_released(center: Center) -> None:
    later = datetime.now(UTC) + timedelta(days=1)

    assert [str(ref) for ref in center.models.expire(later)] == ["heroes@1"]
    assert [str(ref) for ref in center.models.release(later)] == ["heroes@1"]
    assert center.models.get("heroes", "1", caller=ADA).files == ()


def test_aliases_move_and_roll_back(center: Center) -> None:
    for version in (1, 2):
        center.aliases.point("heroes", "champion", version, ADA)

    assert center.aliases.roll_back("heroes", "champion", caller=ADA).version == 1
    moves = center.aliases.history("heroes", "champion", caller=BOB, limit=2)
    rest = center.aliases.history("heroes", "champion", caller=BOB, before=moves[-1].id, limit=2)
    assert [move.version for move in (*moves, *rest)] == [1, 2, 1]
