"""A hub as a team runs it: PostgreSQL, an S3 server, two API replicas, two workers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hub_processes import Hub, running_hub
from hub_world import BASE, World, furnish, hub_settings, settings_of, write_concept
from mos_center.opening import opened
from mos_client.session import Fusion, Session, Submission

MEMBERS = ("ada", "bob", "cleo", "dan", "eve", "finn", "gus", "hal")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, postgres: Any, s3: Any) -> Hub:
    return Hub(tmp_path_factory.mktemp("hub") / "hub", hub_settings(postgres, s3))


@pytest.fixture(scope="module")
def world(hub: Hub) -> Iterator[World]:
    """The hub runs, and its members have tokens."""
    made = furnish(hub, list(MEMBERS))
    with running_hub(hub):
        yield made


def submit(hub: Hub, world: World, number: int, folder: Path) -> Submission:
    """Submit a concept of one member through one of the replicas."""
    member = MEMBERS[number]
    write_concept(folder, world.layers, f"{member}/pet", number)
    with Session(hub.url_of(number % 2), world.tokens[member]) as session:
        return session.submit(folder)


def fuse(hub: Hub, world: World, number: int, concepts: tuple[str, ...]) -> Fusion:
    """Request a fusion through one of the replicas, and wait for its end."""
    member = MEMBERS[number % 8]
    with Session(hub.url_of(number % 2), world.tokens[member]) as session:
        fusion = session.request_fusion(
            f"pets-{member}", BASE, [f"{name}/pet" for name in concepts], prior_weight=0
        )
        *_, last = session.watch_fusion(fusion.id)
        return last


def wanted() -> list[tuple[int, tuple[str, ...]]]:
    """Twelve requests: eight different ones, and the first one four times more."""
    pairs = list(combinations(MEMBERS, 2))
    different = [(number, pairs[number]) for number in range(8)]
    return [*different, *[(0, pairs[0])] * 4]


def test_eight_clients_and_twelve_requests_at_once_publish_every_model_exactly_once(
    hub: Hub, world: World, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(12) as threads:
        submitted = list(
            threads.map(lambda n: submit(hub, world, n, tmp_path / f"package-{n}"), range(8))
        )
        fusions = list(threads.map(lambda item: fuse(hub, world, *item), wanted()))

    assert {item.state.value for item in submitted} == {"approved"}
    assert {item.state.value for item in fusions} == {"published"}
    assert len({item.id for item in fusions}) == 8
    with Session(hub.url_of(1), world.admin) as session:
        versions = Counter(item.ref for item in session.models())
    assert versions == Counter(f"pets-{name}@1" for name in MEMBERS)


def test_both_workers_share_the_work(hub: Hub, world: World) -> None:
    for worker in hub.workers:
        assert "fusion.published" in worker.log.read_text(), worker.name


def test_what_was_published_is_pulled_and_every_file_is_what_the_version_lists(
    hub: Hub, world: World, tmp_path: Path
) -> None:
    with Session(hub.url_of(0), world.tokens["ada"]) as session:
        version = session.pull("pets-ada@1", tmp_path / "model")
    for file in version.files:
        content = (tmp_path / "model" / file.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_a_replica_that_is_stopped_leaves_its_work_to_the_other(hub: Hub, world: World) -> None:
    assert hub.apis[0].stop() == 0
    try:
        with Session(hub.url_of(1), world.tokens["bob"]) as session:
            assert len(session.concepts()) == 8
    finally:
        hub.apis[0].start()
        hub.apis[0].wait()


def test_no_file_is_left_where_clients_sent_it(hub: Hub, world: World) -> None:
    with opened(settings_of(hub, "look")) as data:
        assert data.blobs.forget_uploads(datetime.now(UTC), dry_run=True) == 0
