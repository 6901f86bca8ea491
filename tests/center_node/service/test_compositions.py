"""Compositions: who may ask for what, what is told of wrong scenes, and how long pictures stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from callers import ADA, BOB, RITA
from center_steps import fuse, store
from mos_center.domain.access import LOCAL
from mos_center.domain.compositions import Composition, CompositionRules, CompositionState
from mos_center.domain.jobs import COMPOSITION, other_job
from mos_center.domain.models import Priority, StoredFile, Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.composition_ledger import CompositionLedgerService
from mos_center.service.composition_pictures import release_pictures
from mos_center.service.compositions import CompositionService, job_of
from mos_protocol.errors import (
    Conflict,
    Gone,
    InvalidRequest,
    JobFailed,
    NotFound,
    QuotaExceeded,
    Unavailable,
)

SCENE = {
    "prompt": "a man on the beach",
    "size": [128, 64],
    "seeds": [3, 4],
    "regions": [{"id": "left", "box": [0, 0, 64, 64], "prompt": "a <potter1> <potter2>"}],
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
PICTURE = f"data:image/png;base64,{PIXEL}"
YAML = """\
prompt: a man on the beach
size: [128, 64]
regions:
  - id: left
    box: [0, 0, 700, 64]
    prompt: a <potter1> <potter2>
"""


@pytest.fixture
def ledger(data: OpenedData) -> CompositionLedgerService:
    return data.composition_ledger()


@pytest.fixture
def demo(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> str:
    """A published version of one concept that everybody sees."""
    submit()
    fuse(center, data, "demo", ["ada/potter@1"])
    return "demo"


def asked(center: Center, **changes: object) -> Composition:
    return center.compositions.request("demo", "latest", SCENE | changes, caller=ADA)


def draw(data: OpenedData, ledger: CompositionLedgerService, one: Composition) -> None:
    """Give it its pictures, as a worker would."""
    ledger.begin(one.id)
    for number in range(len(one.seeds)):
        file = store(data, "picture.png", f"{one.id} {number}".encode())
        ledger.drawn(one.id, number, StoredFile(file.sha256, file.size))
    ledger.done(one.id)


def test_a_scene_is_queued_before_fusions_and_handed_to_a_worker(
    center: Center, demo: str, ledger: CompositionLedgerService, queue
) -> None:
    composition = asked(center)
    plan = ledger.begin(composition.id)

    assert queue.enqueued[-1] == other_job(COMPOSITION, composition.id)
    assert job_of(composition.id).priority is Priority.HIGH
    assert plan is not None
    assert (plan.version.model, plan.version.version) == ("demo", 1)
    assert plan.composition.state is CompositionState.RUNNING
    assert plan.composition.seeds == (3, 4)


def test_the_line_and_the_reason_are_told_of_a_wrong_scene(center: Center, demo: str) -> None:
    with pytest.raises(InvalidRequest, match=r"line 5: region `left`: .*700.*128"):
        center.compositions.request("demo", "1", YAML, caller=ADA)


def test_a_word_that_the_version_has_not_is_told_before_anything_is_queued(
    center: Center, demo: str, queue
) -> None:
    before = list(queue.enqueued)
    with pytest.raises(InvalidRequest, match="<cat1>"):
        asked(center, prompt="a <cat1> on the beach")
    assert queue.enqueued == before
    assert center.compositions.find(caller=LOCAL, limit=9) == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": list(range(9))}, "seeds: they are 9"),
        ({"size": [2048, 1024]}, "size: its pixels are 2,097,152"),
        ({"steps": 101}, "steps: they are 101"),
        ({"conditions": [{"kind": "pose", "picture": PICTURE}]}, "no T2I-Adapters"),
    ],
)
def test_what_would_keep_a_worker_too_long_is_refused(
    changes: dict[str, object], told: str, center: Center, demo: str
) -> None:
    with pytest.raises(InvalidRequest, match=told):
        asked(center, **changes)


def test_a_center_that_draws_nothing_says_so(data: OpenedData, demo: str, queue) -> None:
    off = CompositionService(data.database, queue, CompositionRules(is_on=False))
    with pytest.raises(Conflict, match="draws no compositions"):
        off.request("demo", "1", SCENE, caller=ADA)


def test_a_member_has_only_so_many_that_wait(
    center: Center, demo: str, ledger: CompositionLedgerService
) -> None:
    first, *_ = [asked(center) for _ in range(CompositionRules().waiting)]
    with pytest.raises(QuotaExceeded, match="unfinished compositions"):
        asked(center)

    ledger.failed(first.id, JobFailed("It is dark."))

    asked(center)


def test_only_the_asker_and_admins_see_it(center: Center, demo: str) -> None:
    composition = asked(center)

    for stranger in (BOB, RITA):
        assert center.compositions.find(caller=stranger, limit=9) == ()
        for use in (center.compositions.get, center.compositions.cancel):
            with pytest.raises(NotFound):
                use(composition.id, caller=stranger)
    for known in (ADA, LOCAL):
        assert [one.id for one in center.compositions.find(caller=known, limit=9)] == [
            composition.id
        ]


def test_a_model_that_the_caller_may_not_read_is_not_found(center: Center) -> None:
    with pytest.raises(NotFound):
        center.compositions.request("demo", "1", SCENE, caller=BOB)


def test_pictures_are_there_as_soon_as_they_are_drawn(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    composition = asked(center)
    ledger.begin(composition.id)
    file = store(data, "picture.png", b"first")
    ledger.drawn(composition.id, 0, StoredFile(file.sha256, file.size))

    assert center.compositions.picture(composition.id, 0, caller=ADA).sha256 == file.sha256
    with pytest.raises(NotFound, match="no picture 1"):
        center.compositions.picture(composition.id, 1, caller=ADA)


def test_a_picture_that_is_not_in_the_store_is_told_again(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    composition = asked(center)
    ledger.begin(composition.id)
    file = store(data, "picture.png", b"lost")
    data.blobs.delete(file.sha256)
    with pytest.raises(Unavailable):
        ledger.drawn(composition.id, 0, StoredFile(file.sha256, file.size))
    assert center.compositions.get(composition.id, caller=ADA).pictures == {}


def test_what_is_cancelled_is_not_wanted_by_its_worker_any_more(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    composition = asked(center)
    ledger.begin(composition.id)
    assert ledger.progress(composition.id, 1, 40, "drawing")

    center.compositions.cancel(composition.id, caller=ADA)

    assert not ledger.progress(composition.id, 2, 40, "drawing")
    file = store(data, "picture.png", b"late")
    with pytest.raises(Conflict):
        ledger.drawn(composition.id, 0, StoredFile(file.sha256, file.size))
    ledger.done(composition.id)
    assert ledger.begin(composition.id) is None
    assert ledger.unfinished() == ()
    found = center.compositions.cancel(composition.id, caller=ADA)
    assert found.state is CompositionState.CANCELLED


def test_what_is_done_can_not_be_cancelled(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    composition = asked(center)
    draw(data, ledger, composition)
    with pytest.raises(Conflict, match="done"):
        center.compositions.cancel(composition.id, caller=ADA)


def test_pictures_go_when_they_were_kept_long_enough(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    composition = asked(center)
    draw(data, ledger, composition)
    digest = center.compositions.picture(composition.id, 0, caller=ADA).sha256
    keep, now = timedelta(days=1), datetime.now(UTC)

    def release(at: datetime, **options: bool) -> int:
        return release_pictures(data.database, data.blobs, keep, at, **options)

    assert release(now) == 0
    late = now + timedelta(days=2)
    assert release(late, dry_run=True) == 1
    assert data.blobs.exists(digest)
    assert release(late) == 1
    assert release(late) == 0
    assert not data.blobs.exists(digest)
    with pytest.raises(Gone, match="kept long enough"):
        center.compositions.picture(composition.id, 0, caller=ADA)
    assert center.compositions.get(composition.id, caller=ADA).released_at == late


def test_a_picture_that_is_drawn_twice_stays_for_the_other(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    file = store(data, "picture.png", b"the same")
    both = [asked(center), asked(center)]
    for one in both:
        ledger.begin(one.id)
        ledger.drawn(one.id, 0, StoredFile(file.sha256, file.size))
    ledger.done(both[0].id)

    release_pictures(data.database, data.blobs, timedelta(0), datetime.now(UTC))

    assert data.blobs.exists(file.sha256)
    assert center.compositions.picture(both[1].id, 0, caller=ADA).sha256 == file.sha256


def test_a_withdrawn_concept_takes_the_pictures_of_its_versions_along(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    composition, waiting = asked(center), asked(center)
    draw(data, ledger, composition)

    center.withdrawal.withdraw("ada", "potter", 1, "asked to", caller=LOCAL)

    with pytest.raises(Gone):
        asked(center)
    with pytest.raises(Gone):
        ledger.begin(waiting.id)
    with pytest.raises(Gone):
        center.compositions.picture(composition.id, 0, caller=ADA)
    assert release_pictures(data.database, data.blobs, None, datetime.now(UTC)) == 1


def test_the_audit_log_tells_of_it_and_never_of_prompts(
    center: Center, demo: str, data: OpenedData, ledger: CompositionLedgerService
) -> None:
    composition = asked(center)
    draw(data, ledger, composition)
    release_pictures(data.database, data.blobs, timedelta(0), datetime.now(UTC))

    with data.database.read() as transaction:
        events = [entry.event for entry in transaction.audit.entries(limit=100)]
    told = [event for event in events if event.resource == f"composition/{composition.id}"]
    assert [(event.actor, event.action) for event in told] == [
        ("ada", "composition.requested"),
        ("system", "composition.done"),
        ("system", "composition.released"),
    ]
    assert "beach" not in str(told)


def test_an_estimate_is_told_while_it_runs(center: Center, demo: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    running = replace(asked(center), state=CompositionState.RUNNING, started_at=start)
    assert running.seconds_left(start) is None
    moved = replace(running, progress=replace(running.progress, done=10, total=40))
    assert moved.seconds_left(start + timedelta(seconds=5)) == 15
