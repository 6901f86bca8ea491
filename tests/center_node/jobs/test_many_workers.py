"""Workers on one PostgreSQL: they share the work, and what one leaves another goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from many_workers import SharedCenter, shared_center, until
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Priority
from mos_center.domain.states import FusionState
from mos_center.jobs.queue import RemoteQueue
from servers import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def template(postgres: PostgresServer, tiny: SimpleNamespace, tmp_path_factory) -> tuple[str, str]:
    """A database and a data folder with the base and two concepts; copying them is quicker."""
    name = postgres.new_database()
    folder = tmp_path_factory.mktemp("shared") / "data"
    with shared_center(postgres.url(name), folder) as center:
        center.describe(tiny.base, tiny.layers, tiny.packages)
    return name, folder


@pytest.fixture
def center(postgres: PostgresServer, template, tmp_path) -> Iterator[SharedCenter]:
    name, folder = template
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "blobs").symlink_to(folder / "blobs")
    url = postgres.url(postgres.new_database(name))
    with shared_center(url, tmp_path / "data") as center:
        yield center


def test_two_workers_share_twelve_fusions_and_each_is_published_once(center):
    center.start("one")
    center.start("two")
    queue = RemoteQueue(center.settings.jobs)
    fusions = [center.request(f"model-{number}", queue=queue) for number in range(12)]

    done = center.finish(*fusions)
    queue.close()

    assert {fusion.state for fusion in done} == {FusionState.PUBLISHED}
    assert [center.versions(fusion.model) for fusion in done] == [[1]] * 12
    assert [fusion.attempts for fusion in done] == [1] * 12
    until(lambda: len(center.executors()) == 12)
    assert set(center.executors().values()) == {"one", "two"}


@pytest.mark.parametrize("moment", ["fuse unet.mid_block", "storing the model"])
def test_a_killed_workers_fusion_is_taken_over_and_published_once(center, moment):
    center.start("one", moment)
    fusion = center.request("demo")
    center.hangs("one")
    center.start("two")
    center.kill("one")

    (done,) = center.finish(fusion)

    assert done.state is FusionState.PUBLISHED
    assert done.attempts == 2
    assert center.versions("demo") == [1]
    until(lambda: center.executors() == {fusion.id: "two"})


def test_the_events_of_a_fusion_say_who_began_and_how_far_each_came(center):
    center.start("one", "fuse unet.mid_block")
    fusion = center.request("demo")
    center.hangs("one")
    center.start("two")
    center.kill("one")
    center.finish(fusion)

    events = center.data.center().fusions.events(fusion.id, caller=LOCAL)
    begun = [event.data["executor"] for event in events if event.kind == "begun"]
    done = [(event.attempt, event.step) for event in events if event.kind == "step_done"]
    planned = [event.data["steps"] for event in events if event.kind == "planned"]

    assert begun == ["one", "two"]
    assert planned[0] == planned[1]
    # What the first one had done is not done again.
    assert [step for _, step in done] == [step["name"] for step in planned[0][:-1]]
    assert {attempt for attempt, step in done if step == "fuse unet.mid_block"} == {2}
    assert done[0][0] == 1


def test_a_fusion_that_kills_its_workers_is_given_up_and_can_be_retried(center):
    fusion = center.request("demo")
    for name in ("one", "two", "three"):
        center.start(name, "fuse unet.mid_block")
        center.hangs(name)
        center.kill(name)
    center.start("four")

    (failed,) = center.finish(fusion)
    again = center.data.center().fusions.retry(fusion.id, LOCAL)
    (done,) = center.finish(again)

    assert failed.state is FusionState.FAILED
    assert failed.error is not None
    assert failed.error.code == "job_failed"
    assert "died 3 times at 'fuse unet.mid_block'" in failed.error.message
    assert done.state is FusionState.PUBLISHED
    assert (done.id, done.attempts, done.generation) == (fusion.id, 4, 1)


def test_cancelling_takes_effect_on_a_waiting_and_on_a_running_fusion(center):
    center.start("one", "fuse unet.mid_block")
    running = center.request("running")
    center.hangs("one")
    waiting = center.request("waiting")
    fusions = center.data.center().fusions
    fusions.cancel(running.id, LOCAL)
    fusions.cancel(waiting.id, LOCAL)
    center.go_on("one")
    after = center.request("after")

    # It hangs there again.
    center.hangs("one")
    center.go_on("one")
    (done,) = center.finish(after)

    assert done.state is FusionState.PUBLISHED
    assert center.fusion(running.id).state is FusionState.CANCELLED
    assert center.fusion(running.id).progress.message == "fuse unet.mid_block"
    assert center.fusion(waiting.id).attempts == 0


def test_fusions_of_higher_priority_go_first_and_else_in_the_order_of_requests(center):
    center.start("one", "fuse text_encoder")
    running = center.request("running")
    center.hangs("one")
    queue = RemoteQueue(center.settings.jobs)
    order = [Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.NORMAL, Priority.LOW]
    waiting = [
        center.request(f"m{number}", priority, queue) for number, priority in enumerate(order)
    ]
    queue.close()
    places = [center.fusion(fusion.id).queue_position for fusion in waiting]
    center.kill("one")
    center.start("two")

    done = center.finish(running, *waiting)

    assert places == [4, 2, 1, 3, 5]
    begun = sorted(done[1:], key=lambda fusion: fusion.started_at)
    assert [fusion.model for fusion in begun] == ["m2", "m1", "m3", "m0", "m4"]


def test_sigterm_lets_the_step_end_and_another_worker_goes_on(center):
    process = center.start("one", "fuse unet.mid_block")
    fusion = center.request("demo")
    center.hangs("one")
    process.terminate()
    center.go_on("one")
    process.join(60)
    left = center.fusion(fusion.id)
    center.start("two")

    (done,) = center.finish(fusion)

    assert process.exitcode == 0
    assert (left.state, left.deaths) == (FusionState.RUNNING, 0)
    assert done.state is FusionState.PUBLISHED
    assert center.versions("demo") == [1]


def test_a_worker_that_was_cut_off_can_not_publish_what_another_took_over(center):
    center.start("one", "storing the model")
    fusion = center.request("demo")
    center.hangs("one")
    center.cut_off("one")
    center.start("two", "storing the model")
    center.hangs("two")
    center.go_on("one")
    center.plug_in("one")
    until(lambda: not (center.settings.work / "one" / fusion.id).exists())
    before = center.fusion(fusion.id)
    center.go_on("two")

    (done,) = center.finish(fusion)

    assert (before.state, before.attempts) == (FusionState.RUNNING, 2)
    assert (done.state, done.attempts) == (FusionState.PUBLISHED, 2)
    assert center.versions("demo") == [1]


def test_a_database_that_is_killed_and_comes_back_only_delays_a_fusion(tiny, tmp_path):
    with (
        postgres_server() as server,
        shared_center(server.url(server.new_database()), tmp_path / "data") as center,
    ):
        center.describe(tiny.base, tiny.layers, tiny.packages)
        center.start("one", "fuse unet.mid_block")
        fusion = center.request("demo")
        center.hangs("one")
        server.kill()
        center.go_on("one")
        server.start()

        (done,) = center.finish(fusion)

        assert done.state is FusionState.PUBLISHED
        assert center.versions("demo") == [1]
