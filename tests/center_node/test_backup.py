"""Backup while a center writes, and what restoring it brings back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from center_steps import publish, send_files
from concept_packages import write_package
from mos_center.backup import MANIFEST, backup, read_manifest, restore
from mos_center.domain.access import LOCAL
from mos_center.domain.models import BaseRecord, Submission
from mos_center.opening import OpenedData
from mos_center.service.audit import AuditService
from mos_center.service.center import Center
from mos_center.settings import Settings
from mos_center.storage.copies import contents_of
from mos_center.storage.migrations import revision_of
from mos_protocol.errors import Conflict, MosError, NotFound
from servers import PostgresServer, S3Server

FILES = {"README.md": b"# demo", "unet/model.safetensors": bytes(range(256)) * 500}


@pytest.fixture(params=["sqlite and a folder", "postgresql and s3"])
def new_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Settings]:
    """Makes the settings of a center that has nothing yet; the name is its folder's."""

    def make(name: str) -> Settings:
        (tmp_path / name).mkdir(exist_ok=True)
        chosen: dict[str, object] = {}
        if request.param == "postgresql and s3":
            postgres: PostgresServer = request.getfixturevalue("postgres")
            s3: S3Server = request.getfixturevalue("s3")
            chosen = {
                "database_url": postgres.url(postgres.new_database()),
                "s3_endpoint": s3.endpoint,
                "s3_bucket": s3.new_bucket(),
                "s3_access_key": s3.access_key,
                "s3_secret_key": s3.secret_key,
            }
        return Settings(data=tmp_path / name, port=0, grpc_port=0, worker=False, **chosen)

    return make


@pytest.fixture
def settings(new_settings: Callable[[str], Settings]) -> Settings:
    return new_settings("data")


@pytest.fixture
def filled(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> OpenedData:
    """A concept and a model that was fused from it."""
    submit()
    publish(center, data, "demo", 1, FILES)
    return data


@pytest.fixture
def empty(new_settings: Callable[[str], Settings]) -> Iterator[OpenedData]:
    """A center where nothing was opened yet."""
    data = OpenedData(new_settings("restored"))
    yield data
    data.database.close()


def present(data: OpenedData) -> set[str]:
    """The blobs that are in the store, of those that the database refers to."""
    return {digest for digest in contents_of(data.database).needed if data.blobs.exists(digest)}


def saved(data: OpenedData, folder: Path) -> None:
    backup(data.database, data.blobs, folder)


def brought_back(data: OpenedData, folder: Path) -> Center:
    restore(data.database, data.blobs, folder)
    return data.center()


def test_everything_is_there_after_a_restore(
    filled: OpenedData, empty: OpenedData, tmp_path: Path
) -> None:
    saved(filled, tmp_path / "backup")

    center = brought_back(empty, tmp_path / "backup")

    assert present(empty) == present(filled) != set()
    version = center.models.get("demo", "1", caller=LOCAL)
    assert version == filled.center().models.get("demo", "1", caller=LOCAL)
    assert {file.path for file in version.files} == set(FILES)
    before, after = (AuditService(data.database).verify(caller=LOCAL) for data in (filled, empty))
    assert (after, after.fault) == (before, None)
    assert after.checked > 0


def test_a_restored_center_goes_on_working(
    filled: OpenedData, empty: OpenedData, tmp_path: Path, base: BaseRecord
) -> None:
    saved(filled, tmp_path / "backup")
    center = brought_back(empty, tmp_path / "backup")

    folder = write_package(tmp_path / "another", base.layer_map, seed=99)
    submission = send_files(center, folder)
    publish(center, empty, "demo2", 1, FILES)

    assert center.validation.commit(submission.id, caller=LOCAL).version == 2
    assert center.models.get("demo2", "latest", caller=LOCAL).version == 1


def test_a_backup_made_while_the_center_writes_is_consistent(
    filled: OpenedData,
    tmp_path: Path,
    new_settings: Callable[[str], Settings],
    submit: Callable[..., Submission],
) -> None:
    done, count = threading.Event(), 0

    def write() -> None:
        nonlocal count
        while not done.is_set() and count < 40:
            submit()
            count += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            saved(filled, tmp_path / "backup")
            copy = OpenedData(new_settings(f"restored-{number}"))
            restore(copy.database, copy.blobs, tmp_path / "backup")
            needed = contents_of(copy.database).needed
            assert all(copy.blobs.exists(digest) for digest, must in needed.items() if must)
            copy.database.close()
    finally:
        done.set()
        writer.join()
    assert count > 0


def test_a_second_backup_adds_what_is_new_and_drops_what_is_gone(
    filled: OpenedData, tmp_path: Path, submit: Callable[..., Submission]
) -> None:
    folder = tmp_path / "backup"
    saved(filled, folder)
    first = read_manifest(folder)
    kept = {path: path.stat().st_mtime_ns for path in (folder / "blobs").glob("??/*")}
    stray = folder / "blobs" / "ff" / ("f" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"of an earlier backup")

    submit()
    saved(filled, folder)

    second = read_manifest(folder)
    assert set(second.blobs) > set(first.blobs)
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert not stray.exists()


def test_an_unfinished_upload_is_backed_up_as_far_as_it_is(
    filled: OpenedData, empty: OpenedData, tmp_path: Path, base: BaseRecord
) -> None:
    folder = write_package(tmp_path / "unfinished", base.layer_map, seed=50)
    offered = filled.center().submissions.offer(
        (folder / "manifest.json").read_bytes(), caller=LOCAL
    )
    saved(filled, tmp_path / "backup")

    center = brought_back(empty, tmp_path / "backup")

    again = center.submissions.offer((folder / "manifest.json").read_bytes(), caller=LOCAL)
    assert again.submission.id == offered.submission.id
    assert [blob.entry for blob in again.missing] == [blob.entry for blob in offered.missing]


def test_a_center_with_data_is_not_restored_into(filled: OpenedData, tmp_path: Path) -> None:
    saved(filled, tmp_path / "backup")

    with pytest.raises(Conflict, match="not empty"):
        restore(filled.database, filled.blobs, tmp_path / "backup")


def test_an_interrupted_restore_is_run_again(
    filled: OpenedData, empty: OpenedData, tmp_path: Path
) -> None:
    saved(filled, tmp_path / "backup")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(empty.database, empty.blobs, tmp_path / "backup", on_blob=stop)

    center = brought_back(empty, tmp_path / "backup")
    assert center.models.get("demo", "1", caller=LOCAL).files


@pytest.mark.parametrize("what", ["database", "blob", "size", MANIFEST])
def test_a_damaged_backup_is_refused_before_the_database_is_touched(
    filled: OpenedData, empty: OpenedData, tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "backup"
    saved(filled, folder)
    blob = next((folder / "blobs").glob("??/*"))
    if what == "blob":
        flip(blob)
    elif what == "size":
        with blob.open("ab") as file:
            file.write(b"x")
    elif what == MANIFEST:
        (folder / MANIFEST).write_text("{}")
    else:
        flip(folder / read_manifest(folder).database_file)

    with pytest.raises(MosError):
        restore(empty.database, empty.blobs, folder)

    assert revision_of(empty.database.engine) is None


def test_an_audit_log_that_was_changed_in_the_backup_is_noticed(
    filled: OpenedData, empty: OpenedData, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    saved(filled, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    seq, digest = manifest["audit"].split(":")
    manifest["audit"] = f"{seq}:{digest[::-1]}"
    (folder / MANIFEST).write_text(json.dumps(manifest))

    with pytest.raises(Conflict, match="audit log is broken"):
        restore(empty.database, empty.blobs, folder)


def test_a_lost_blob_is_told_and_the_earlier_backup_stays(
    filled: OpenedData, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    saved(filled, folder)
    shutil.rmtree(folder / "blobs")
    lost = filled.center().models.get("demo", "1", caller=LOCAL).files[0].sha256
    filled.blobs.delete(lost)

    with pytest.raises(MosError, match=lost[:12]):
        saved(filled, folder)

    assert read_manifest(folder)


def test_without_blobs_only_the_database_is_restored(
    filled: OpenedData, empty: OpenedData, tmp_path: Path
) -> None:
    manifest = backup(filled.database, filled.blobs, tmp_path / "backup", with_blobs=False)

    center = brought_back(empty, tmp_path / "backup")

    assert manifest.blobs is None
    assert present(empty) == set()
    assert center.models.get("demo", "1", caller=LOCAL).files


def test_what_is_no_backup_is_told(empty: OpenedData, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no complete backup"):
        restore(empty.database, empty.blobs, tmp_path)
    with pytest.raises(NotFound, match="no database"):
        saved(empty, tmp_path / "backup")


def test_the_commands_do_the_same(empty_data: Path, tmp_path: Path) -> None:
    folder, restored = (str(tmp_path / name) for name in ("backup", "restored"))
    data = str(empty_data)

    written = _run("backup", folder, "--data", data)
    read = _run("restore", folder, "--data", restored)
    again = _run("restore", folder, "--data", restored)

    assert (written.returncode, read.returncode, again.returncode) == (0, 0, 4)
    assert "sqlite of" in written.stdout
    assert "Its audit log is whole." in read.stdout
    assert "not empty" in again.stderr
    revision = _run("migrate", "--data", restored)
    assert revision.stdout.strip().startswith("000")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mos_center.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
