"""Collecting garbage: nothing that somebody needs, and beside everything else that goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from center_steps import contents, fuse, send_files, store, stored, submit_folder
from concept_packages import write_package
from mos_center.domain.access import LOCAL, Caller, Role
from mos_center.domain.compositions import CompositionRules
from mos_center.domain.models import BaseRecord, StoredFile, Submission
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.garbage import Garbage, GarbageService
from mos_protocol.errors import PermissionDenied

# Everything is older than this.
NO_GRACE = timedelta(days=-1)


@pytest.fixture
def garbage(data: OpenedData) -> GarbageService:
    return GarbageService(data.database, data.blobs, NO_GRACE)


def test_what_nothing_refers_to_is_removed(
    garbage: GarbageService, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    kept = {entry.sha256 for entry in submit().manifest.files}
    orphan = store(data, "orphan", b"nobody's")

    assert garbage.collect(caller=LOCAL, dry_run=True) == Garbage(blobs=1, bytes=8)
    assert stored(data) == kept | {orphan.sha256}
    assert garbage.collect(caller=LOCAL) == Garbage(blobs=1, bytes=8)

    assert stored(data) == kept
    assert garbage.collect(caller=LOCAL) == Garbage()


def test_what_is_young_is_kept(data: OpenedData, center: Center, package: Path) -> None:
    store(data, "orphan", b"nobody's")
    send_files(center, package)

    found = GarbageService(data.database, data.blobs, timedelta(hours=1)).collect(caller=LOCAL)

    assert found == Garbage()


def test_an_upload_that_nobody_goes_on_with_is_rejected_as_abandoned(
    garbage: GarbageService, data: OpenedData, center: Center, package: Path
) -> None:
    submission = send_files(center, package)

    assert garbage.collect(caller=LOCAL, dry_run=True).submissions == 1
    assert garbage.collect(caller=LOCAL).submissions == 1

    rejected = center.submissions.get(submission.id, caller=LOCAL)
    assert (rejected.state, rejected.reason) == (SubmissionState.REJECTED, "abandoned")
    assert stored(data) == set()
    last = center.audit.entries(caller=LOCAL, after=0, limit=100)[-1]
    assert last.event.action == "submission.rejected"
    assert submit_folder(center, package).state is SubmissionState.APPROVED


def test_an_upload_that_was_offered_again_lately_is_not_abandoned(
    data: OpenedData, center: Center, package: Path
) -> None:
    submission = send_files(center, package)
    now = datetime.now(UTC)
    with data.database.write() as transaction:
        transaction.submissions.touch(submission.id, now - timedelta(hours=2))
        assert transaction.submissions.untouched(now - timedelta(hours=1)) == (submission.id,)

    send_files(center, package)

    with data.database.read() as transaction:
        assert transaction.submissions.untouched(now - timedelta(hours=1)) == ()


def test_only_admins_collect(garbage: GarbageService) -> None:
    with pytest.raises(PermissionDenied):
        garbage.collect(caller=Caller("ada", Role.MEMBER, frozenset()))


def test_packages_that_arrive_while_garbage_is_collected_keep_their_files(
    garbage: GarbageService, center: Center, data: OpenedData, base: BaseRecord, tmp_path: Path
) -> None:
    """Each package's files lie in the store as garbage when it is offered."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def collect() -> None:
        while not stop.is_set():
            try:
                garbage.free_blobs(datetime.now(UTC) + timedelta(days=1), dry_run=False)
            except BaseException as error:
                failures.append(error)
                return

    collector = threading.Thread(target=collect)
    collector.start()
    for number in range(12):
        folder = write_package(tmp_path / f"p{number}", concept=f"ada/c{number}", seed=number)
        for path in contents(folder):
            store(data, path, (folder / path).read_bytes())
        accepted = submit_folder(center, folder)
        assert accepted.state is SubmissionState.APPROVED
        assert {entry.sha256 for entry in accepted.manifest.files} <= stored(data)
    stop.set()
    collector.join()
    assert failures == []


def test_versions_expire_and_later_their_files_are_let_go_of(
    data: OpenedData, center: Center, submit: Callable[..., Submission]
) -> None:
    for version in (1, 2):
        submit()
        fuse(center, data, "demo", [f"ada/potter@{version}"])
    weights = center.models.file("demo", "1", "weights.bin", caller=LOCAL).sha256
    garbage = GarbageService(data.database, data.blobs, NO_GRACE, retention=timedelta(days=-1))

    dry = garbage.collect(caller=LOCAL, dry_run=True)
    first, second = garbage.collect(caller=LOCAL), garbage.collect(caller=LOCAL)

    assert (dry.expired, first.expired, first.released) == (1, 1, 0)
    assert (second.expired, second.released) == (0, 1)
    assert weights not in stored(data)
    assert center.models.file("demo", "2", "weights.bin", caller=LOCAL)


def test_pictures_of_compositions_go_after_the_center_s_days(
    data: OpenedData, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    fuse(center, data, "demo", ["ada/potter@1"])
    scene = {"prompt": "a man", "size": [64, 64]}
    composition = center.compositions.request("demo", "1", scene, caller=LOCAL)
    ledger, picture = data.composition_ledger(), store(data, "picture.png", b"pixels")
    ledger.begin(composition.id)
    ledger.drawn(composition.id, 0, StoredFile(picture.sha256, picture.size))
    ledger.done(composition.id)

    def collect(keep: timedelta | None, **options: bool) -> Garbage:
        rules = CompositionRules(keep=keep)
        service = GarbageService(data.database, data.blobs, NO_GRACE, None, rules)
        return service.collect(caller=LOCAL, **options)

    assert collect(timedelta(days=1)) == Garbage()
    assert collect(None) == Garbage()
    assert collect(timedelta(0), dry_run=True) == Garbage(compositions=1)
    assert data.blobs.exists(picture.sha256)
    assert collect(timedelta(0)) == Garbage(compositions=1)
    assert not data.blobs.exists(picture.sha256)
