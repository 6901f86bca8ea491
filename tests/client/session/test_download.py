"""Downloads: complete or absent, resumed inside a file, never outside the folder."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from fake_center import TOKEN
from mos_client import Backoff, ModelFile, Session
from mos_client.session.download import RECORD, check_paths
from mos_protocol.errors import Conflict, InvalidRequest, MosError, NotFound, Unavailable

BIG = random.Random(0).randbytes(3 << 20)
FILES = {
    "model_index.json": b"{}",
    "unet/weights.safetensors": BIG,
    "text_encoder/copy.safetensors": BIG,
    "README.md": b"# demo\n",
    "empty.txt": b"",
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "demo"


@pytest.fixture(autouse=True)
def published(center) -> dict:
    return center.add_model("demo", FILES)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }


def ranges(center) -> list[str]:
    return [headers["Range"] for _, _, headers, _ in center.requests if "Range" in headers]


def fetches(center) -> int:
    return sum("/files/" in path for _, path, _, _ in center.requests)


def test_a_version_arrives_file_by_file(session, out):
    version = session.pull("demo@1", out)
    assert (version.ref, contents(out)) == ("demo@1", FILES)
    assert [path.name for path in out.parent.iterdir()] == ["demo"]


def test_an_alias_leads_to_its_version(session, out):
    assert session.pull("demo", out).version == 1
    assert json.loads((out / RECORD).read_text())["version"] == 1


def test_equal_files_travel_once(session, center, out):
    session.pull("demo", out)
    assert fetches(center) == len(FILES) - 1


def test_pulling_again_fetches_nothing(session, center, out):
    session.pull("demo", out)
    before = fetches(center)
    session.pull("demo", out)
    assert fetches(center) == before


def test_progress_counts_bytes_up_to_the_whole(session, out):
    seen = []
    session.pull("demo", out, seen.append)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total == sum(map(len, FILES.values()))


def test_a_broken_connection_is_resumed_inside_the_file(session, center, out):
    center.cut_downloads = [2, 1 << 20, 1 << 19]
    session.pull("demo", out)
    assert contents(out) == FILES
    assert ranges(center) == [f"bytes={1 << 20}-", f"bytes={3 << 19}-"]


def test_a_killed_download_is_resumed_by_the_next_one(center, out):
    center.cut_downloads = [2, 1 << 20]
    with (
        Session(center.url, TOKEN, backoff=Backoff(attempts=1)) as hasty,
        pytest.raises(Unavailable),
    ):
        hasty.pull("demo", out)
    assert not out.exists()
    with Session(center.url, TOKEN) as session:
        session.pull("demo", out)
    assert contents(out) == FILES
    assert ranges(center)


def test_a_center_that_ignores_ranges_sends_from_the_start(session, center, out):
    center.ignore_range = True
    center.cut_downloads = [2, 1 << 20]
    session.pull("demo", out)
    assert contents(out) == FILES


def test_a_damaged_piece_on_disk_is_fetched_anew(session, center, published, out):
    part = out.with_name("demo.partial") / ".parts" / published["files"][1]["sha256"]
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    session.pull("demo", out)
    assert contents(out) == FILES


def test_content_that_never_matches_is_an_error_and_leaves_no_folder(
    session, center, published, out
):
    sha256 = published["files"][0]["sha256"]
    center.files[sha256] = b"[]"
    with pytest.raises(MosError, match="damaged"):
        session.pull("demo", out)
    assert not out.exists()


def test_a_file_longer_than_listed_is_not_kept(session, center, published, out):
    center.files[published["files"][0]["sha256"]] = b"{}" * 1000
    with pytest.raises(MosError, match="damaged"):
        session.pull("demo", out)
    assert not out.exists()


def test_a_newer_version_replaces_the_folder_and_keeps_what_is_the_same(session, center, out):
    session.pull("demo", out)
    center.add_model("demo", {**FILES, "README.md": b"# demo, again\n", "new.json": b"1"})
    del center.models["demo"][1]["files"][0]
    before = fetches(center)
    session.pull("demo@2", out)
    assert fetches(center) == before + 2
    assert "model_index.json" not in contents(out)
    assert contents(out)["README.md"] == b"# demo, again\n"


def test_what_another_version_left_half_done_does_not_end_up_in_the_folder(session, center, out):
    staging = out.with_name("demo.partial")
    (staging / "README.md").mkdir(parents=True)
    (staging / "README.md" / "stray").write_bytes(b"x")
    (staging / "unet").write_bytes(b"a file where a folder belongs")
    session.pull("demo", out)
    assert contents(out) == FILES


def test_a_folder_with_anything_of_the_users_is_left_alone(session, out):
    session.pull("demo", out)
    (out / "notes.txt").write_text("mine")
    (out / "README.md").unlink()
    with pytest.raises(Conflict, match=r"notes\.txt"):
        session.pull("demo", out)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_file_in_the_way_is_a_conflict(session, out):
    out.write_text("mine")
    with pytest.raises(Conflict):
        session.pull("demo", out)
    assert out.read_text() == "mine"


def test_a_version_that_does_not_exist_is_not_found(session, out):
    with pytest.raises(NotFound):
        session.pull("demo@9", out)
    assert not out.exists()


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        "./a",
        "",
        "a/",
        "a\\b",
        "C:x",
        "a\0",
        RECORD,
        ".parts/a",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused_before_anything_is_fetched(
    session, center, published, out, path
):
    published["files"][0]["path"] = path
    with pytest.raises(InvalidRequest):
        session.pull("demo", out)
    assert fetches(center) == 0
    assert list(out.parent.iterdir()) == []


def test_two_files_in_one_place_are_refused():
    one = ModelFile(path="a", size=0, sha256="0" * 64)
    with pytest.raises(InvalidRequest, match="twice"):
        check_paths((one, one))
    with pytest.raises(InvalidRequest, match="both a file and a folder"):
        check_paths((one, ModelFile(path="a/b", size=0, sha256="0" * 64)))
