"""What happened to fusions, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from center_steps import request, submit_folder
from concept_packages import small_layer_map, write_package
from mos_center.domain.fusion_events import FusionEvent, FusionEventKind
from mos_center.domain.models import Fusion
from mos_center.opening import OpenedData, opened
from mos_center.settings import Settings


@pytest.fixture
def data(empty_url: str, tmp_path: Path) -> Iterator[OpenedData]:
    """A center on either database."""
    with opened(Settings(data=tmp_path / "data", database_url=empty_url, worker=False)) as found:
        yield found


@pytest.fixture
def fusions(data: OpenedData, tmp_path: Path) -> list[Fusion]:
    """Two requested fusions; each has its first event."""
    center = data.center()
    center.bases.add("small", tmp_path, small_layer_map(), {})
    submit_folder(center, write_package(tmp_path / "package"))
    return [request(center, model, ["ada/potter@1"]) for model in ("one", "two")]


def events(data: OpenedData, fusion: Fusion, after: int = 0) -> tuple[FusionEvent, ...]:
    with data.database.read() as transaction:
        return transaction.fusion_events.of(fusion.id, after=after, limit=3)


def test_events_are_numbered_within_their_fusion(data: OpenedData, fusions: list[Fusion]) -> None:
    one, two = fusions
    for fusion in (one, two, one, one):
        with data.database.write() as transaction:
            transaction.fusion_events.add(fusion, FusionEventKind.BEGUN)

    assert [event.seq for event in events(data, one)] == [1, 2, 3]
    assert [event.seq for event in events(data, one, after=3)] == [4]
    assert [event.kind for event in events(data, two)] == ["requested", "begun"]


def test_an_event_says_what_happened_when_and_in_which_attempt(
    data: OpenedData, fusions: list[Fusion]
) -> None:
    tried = replace(fusions[0], generation=2, attempts=5)
    finding = {"seconds": 1.5, "finding": {"kept": {"ada/potter@1": 0.75}}}
    before = datetime.now(UTC)
    with data.database.write() as transaction:
        transaction.fusion_events.add(tried, FusionEventKind.STEP_DONE, "fuse unet", finding)

    (event,) = events(data, tried, after=1)

    assert before <= event.at <= datetime.now(UTC)
    assert event == FusionEvent(
        tried.id, 2, event.at, FusionEventKind.STEP_DONE, 2, 5, "fuse unet", finding
    )


def test_an_event_need_not_say_more_than_its_kind(data: OpenedData, fusions: list[Fusion]) -> None:
    with data.database.write() as transaction:
        transaction.fusion_events.add(fusions[0], FusionEventKind.PAUSED)

    (event,) = events(data, fusions[0], after=1)

    assert (event.step, event.data) == ("", None)
