"""Packages whose files go straight to an S3 server, at addresses that the center signed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from center_steps import contents, submit_folder
from concept_packages import write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.models import BaseRecord
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.garbage import GarbageService
from mos_center.service.submissions import Offer
from mos_center.settings import Settings
from mos_protocol.errors import Conflict, InvalidPackage
from mos_protocol.manifest import MANIFEST_FILE
from mos_protocol.names import Digest
from pydantic import SecretStr
from servers import S3Server


@pytest.fixture
def settings(settings: Settings, s3: S3Server) -> Settings:
    access = {
        "s3_endpoint": s3.endpoint,
        "s3_bucket": s3.new_bucket(),
        "s3_access_key": s3.access_key,
        "s3_secret_key": SecretStr(s3.secret_key),
    }
    return settings.model_copy(update=access)


def offer(center: Center, folder: Path) -> Offer:
    return center.submissions.offer((folder / MANIFEST_FILE).read_bytes(), caller=LOCAL)


def send(offered: Offer, folder: Path, paths: set[str] | None = None) -> None:
    """What a client does: PUT each missing file, or some, where the offer says."""
    for blob in offered.missing:
        if paths is None or blob.entry.path in paths:
            assert blob.put_url is not None
            content = (folder / blob.entry.path).read_bytes()
            assert httpx.put(blob.put_url, content=content).is_success


def stored(data: OpenedData) -> set[str]:
    return {blob.digest for blob in data.blobs.blobs()}


def test_files_that_were_sent_to_the_store_are_checked_and_kept(
    center: Center, data: OpenedData, package: Path
) -> None:
    offered = offer(center, package)
    send(offered, package)
    assert stored(data) == set()

    accepted = center.validation.commit(offered.submission.id, caller=LOCAL)

    assert accepted.state is SubmissionState.APPROVED
    assert stored(data) == set(contents(package).values())
    assert data.blobs.staged(accepted.id) == {}
    assert center.validation.commit(accepted.id, caller=LOCAL) == accepted


def test_a_resume_sends_only_what_has_not_arrived(center: Center, package: Path) -> None:
    send(offer(center, package), package, {"concept.safetensors"})

    again = offer(center, package)

    assert {blob.entry.path for blob in again.missing} == set(contents(package)) - {
        "concept.safetensors"
    }
    with pytest.raises(Conflict, match="3 files of the package have not arrived"):
        center.validation.commit(again.submission.id, caller=LOCAL)
    rest = offer(center, package)
    send(rest, package)
    assert offer(center, package).missing == ()
    accepted = center.validation.commit(rest.submission.id, caller=LOCAL)
    assert accepted.state is SubmissionState.APPROVED


def test_wrong_bytes_at_the_store_refuse_the_whole_package(
    center: Center, data: OpenedData, package: Path
) -> None:
    offered = offer(center, package)
    wrong = package / offered.missing[0].entry.path
    wrong.write_bytes(wrong.read_bytes()[::-1])
    send(offered, package)

    with pytest.raises(InvalidPackage, match="content does not match the manifest") as caught:
        center.validation.commit(offered.submission.id, caller=LOCAL)

    assert caught.value.file == offered.missing[0].entry.path
    rejected = center.submissions.get(offered.submission.id, caller=LOCAL)
    assert rejected.state is SubmissionState.REJECTED
    assert stored(data) == set()
    assert data.blobs.staged(rejected.id) == {}


def test_a_file_that_broke_off_at_the_store_is_asked_for_again(
    center: Center, package: Path
) -> None:
    offered = offer(center, package)
    whole = (package / "concept.safetensors").read_bytes()
    (package / "concept.safetensors").write_bytes(whole[:100])
    send(offered, package)
    (package / "concept.safetensors").write_bytes(whole)

    with pytest.raises(Conflict, match=r"1 files .* first concept\.safetensors"):
        center.validation.commit(offered.submission.id, caller=LOCAL)

    again = offer(center, package)
    assert [blob.entry.path for blob in again.missing] == ["concept.safetensors"]
    send(again, package)
    accepted = center.validation.commit(offered.submission.id, caller=LOCAL)
    assert accepted.state is SubmissionState.APPROVED


def test_nothing_that_was_sent_to_the_store_is_left_of_a_rejected_package(
    center: Center, data: OpenedData, package: Path
) -> None:
    offered = offer(center, package)
    send(offered, package)

    center.submissions.reject(offered.submission.id, "spam", LOCAL)

    assert data.blobs.staged(offered.submission.id) == {}
    assert stored(data) == set()


def test_files_that_come_through_the_center_are_kept_at_the_store_too(
    center: Center, data: OpenedData, base: BaseRecord, tmp_path: Path
) -> None:
    folder = write_package(tmp_path / "streamed", base.layer_map)

    assert submit_folder(center, folder).state is SubmissionState.APPROVED
    assert stored(data) == set(contents(folder).values())


def test_a_center_whose_store_clients_cannot_reach_asks_for_the_files_itself(
    settings: Settings, data: OpenedData, package: Path
) -> None:
    hidden = OpenedData(settings.model_copy(update={"s3_presign": False})).center()

    assert {blob.put_url for blob in offer(hidden, package).missing} == {None}
    assert submit_folder(hidden, package).state is SubmissionState.APPROVED


def test_what_was_sent_to_the_store_and_abandoned_is_garbage(
    center: Center, data: OpenedData, package: Path
) -> None:
    offered = offer(center, package)
    send(offered, package)
    garbage = GarbageService(data.database, data.blobs, timedelta(days=-1))

    assert garbage.collect(caller=LOCAL, dry_run=True).uploads == 4
    found = garbage.collect(caller=LOCAL)

    assert found.submissions == 1
    assert data.blobs.staged(offered.submission.id) == {}


def test_garbage_at_the_store_that_is_offered_while_it_is_collected_is_kept_or_asked_for(
    center: Center, data: OpenedData, base: BaseRecord, tmp_path: Path
) -> None:
    garbage = GarbageService(data.database, data.blobs, timedelta(days=-1))
    for number in range(4):
        folder = write_package(tmp_path / f"p{number}", concept=f"ada/c{number}", seed=number)
        for path, digest in contents(folder).items():
            data.blobs.put_file(folder / path, Digest(digest))
        later = datetime.now(UTC) + timedelta(days=1)
        collector = threading.Thread(
            target=garbage.free_blobs, args=(later,), kwargs={"dry_run": False}
        )
        collector.start()
        offered = offer(center, folder)
        send(offered, folder)
        accepted = center.validation.commit(offered.submission.id, caller=LOCAL)
        collector.join()

        assert accepted.state is SubmissionState.APPROVED
        assert set(contents(folder).values()) <= stored(data)
