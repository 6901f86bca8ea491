"""The session against the real center, in a process of its own that can be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mos_client import (
    Backoff,
    FusionState,
    PartWeights,
    Session,
    SubmissionState,
    WeightedConcept,
)
from mos_client.session.submissions import SubmissionsClient
from mos_protocol.errors import InvalidPackage, InvalidRequest, NotFound, Unauthenticated
from mos_protocol.layer_map import Part
from mos_protocol.manifest import listed_files, read_manifest
from tiny_base import write_tiny_base
from tiny_package import relist, write_package

MOS_CENTER = Path(sys.executable).with_name("mos-center")


class CenterProcess:
    """`mos-center serve` without a worker, at ports that stay the same over restarts."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._ports = {"rest": "0", "grpc": "0"}
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['rest']}"

    def start(self) -> None:
        serving = self._data / "serving.json"
        serving.unlink(missing_ok=True)
        ports = ["--port", self._ports["rest"], "--grpc-port", self._ports["grpc"]]
        self._process = subprocess.Popen(
            [MOS_CENTER, "serve", "--no-worker", "--data", self._data, *ports],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not serving.exists() or not serving.read_text().endswith("}"):
            assert self._process.poll() is None, "the center ended by itself"
            assert time.monotonic() < deadline, "the center did not start"
            time.sleep(0.05)
        told = json.loads(serving.read_text())
        self._ports = {name: told[name].rpartition(":")[2] for name in self._ports}

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def kill_and_restart(self) -> None:
        self.kill()
        self.start()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A center's data folder in which the tiny base is registered."""
    folder = tmp_path_factory.mktemp("center")
    base = write_tiny_base(folder / "base")
    command = [MOS_CENTER, "base", "add", "tiny", base, "--no-prior", "--data", folder / "data"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "data"


@pytest.fixture(scope="module")
def center(data) -> Iterator[CenterProcess]:
    process = CenterProcess(data)
    yield process
    process.kill()


@pytest.fixture
def session(center) -> Iterator[Session]:
    with Session(center.url, backoff=Backoff(attempts=30, first=0.2, longest=2)) as session:
        yield session


@pytest.fixture
def package(session, tmp_path, request) -> Path:
    """A package of this test's own concept."""
    number = sum(map(ord, request.node.name))
    write_package(
        tmp_path / "package",
        session.base("tiny").layer_map,
        concept=f"ada/c{number}",
        seed=number,
    )
    return tmp_path / "package"


def test_the_center_tells_about_itself_and_its_base(session):
    info = session.center()
    assert info.worker is False
    assert len(session.base("tiny").layer_map.cross_attention) == 16


def test_a_package_is_submitted_listed_and_not_sent_again(session, package):
    submission = session.submit(package)
    assert submission.state is SubmissionState.APPROVED
    concept = session.concept(submission.concept)
    assert concept.manifest == read_manifest(package)
    assert concept.ref in {item.ref for item in session.concepts(owner="ada", base="tiny")}
    seen = []
    assert session.submit(package, seen.append) == submission
    assert {progress.done for progress in seen} == {seen[0].total}
    assert session.submission(submission.id) == submission
    assert list(session.watch_submission(submission.id)) == [submission]


class ClientDiedError(Exception):
    """Stands for the death of the client."""


def test_an_upload_that_its_client_broke_off_sends_only_the_rest(session, package):
    sizes = [entry.size for entry in read_manifest(package).files]

    def stop_in_the_middle(progress) -> None:
        if progress.done > sum(sizes) / 2:
            raise ClientDiedError

    with pytest.raises(ClientDiedError):
        session.submit(package, stop_in_the_middle)
    seen = []
    assert session.submit(package, seen.append).state is SubmissionState.APPROVED
    assert seen[0].done > sum(sizes) / 2 - 2 * max(sizes)


def test_over_a_kill_of_the_center_at_most_one_file_is_sent_again(center, session, package):
    begun: list[str] = []
    kills: list[threading.Thread] = []

    def kill_in_the_third_file(progress) -> None:
        if progress.path and (not begun or begun[-1] != progress.path):
            begun.append(progress.path)
            if len(begun) == 3:
                kills.append(threading.Thread(target=center.kill_and_restart))
                kills[0].start()
                time.sleep(0.3)

    submission = session.submit(package, kill_in_the_third_file)
    kills[0].join()
    assert submission.state is SubmissionState.APPROVED
    assert len(begun) - len(set(begun)) <= 1


def test_a_hostile_package_is_refused_by_the_center_too(session, package):
    manifest = read_manifest(package)
    entry = manifest.files[0].model_copy(update={"size": 1 << 33})
    hostile = manifest.model_copy(update={"files": (entry, *manifest.files[1:])})
    before = session.concepts()
    uploads = SubmissionsClient(session.center().grpc, None)
    with pytest.raises(InvalidPackage) as caught:
        uploads.offer(hostile.to_bytes())
    uploads.close()
    assert caught.value.file == entry.path
    assert session.concepts() == before


def test_a_damaged_package_never_reaches_the_center(session, package):
    (package / "previews/1.0.png").write_bytes(b"GIF89a")
    relist(package)
    with pytest.raises(InvalidPackage, match="no PNG"):
        session.submit(package)
    assert read_manifest(package).concept not in {item.name for item in session.concepts()}
    assert listed_files(package)


def test_a_fusion_is_queued_once_per_build_and_can_be_cancelled(session, package):
    concept = session.submit(package).ref
    fusion = session.request_fusion("demo", "tiny", [concept], solver="average")
    assert fusion.state is FusionState.QUEUED
    assert session.request_fusion("demo", "tiny", [concept], solver="average").id == fusion.id
    assert session.fusion(fusion.id).concepts[0].ref == concept
    assert fusion.concepts[0].weight == PartWeights()
    session.cancel_fusion(fusion.id)
    assert [item.state for item in session.watch_fusion(fusion.id)] == [FusionState.CANCELLED]


def test_what_a_fusion_was_asked_for_is_what_it_shows(session, package):
    weighted = WeightedConcept(session.submit(package).concept, weights=PartWeights(spatial=0.5))
    chosen = {"ridge": {Part.SPATIAL: 0.1}, "lbfgs_steps": {Part.SPATIAL: 9}}
    fusion = session.request_fusion(
        "demo", "tiny", [weighted], solver="lbfgs", exports=["single-file"], previews=True, **chosen
    )
    assert fusion.concepts[0].weight == weighted.weights
    assert fusion.ridge == {"text_encoder": 0.001, "cross_kv": 0.001, "spatial": 0.1}
    assert fusion.lbfgs_steps == {"text_encoder": 500, "cross_kv": 500, "spatial": 9}
    assert (fusion.exports, fusion.previews) == (("single-file",), True)
    with pytest.raises(InvalidRequest, match="refine_rounds"):
        session.request_fusion("demo", "tiny", [weighted], refine_rounds=9)
    with pytest.raises(InvalidRequest, match="exports"):
        session.request_fusion("demo", "tiny", [weighted], exports=["onnx"])


def test_what_is_not_there_is_not_found(session):
    with pytest.raises(NotFound):
        session.model("nothing")
    with pytest.raises(NotFound):
        session.submission("nothing")
    with pytest.raises(NotFound):
        session.request_fusion("demo", "tiny", ["ada/nobody"])


def test_once_a_token_exists_every_call_needs_one(center, data, session, package):
    command = [MOS_CENTER, "token", "create", "ada", "--data", data]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    token = made.stdout.split()[-1]
    with pytest.raises(Unauthenticated):
        session.bases()
    with Session(center.url, token) as known:
        assert known.submit(package).state is SubmissionState.APPROVED


def told(*command: object) -> str:
    """The first line that a command of the center prints."""
    done = subprocess.run([MOS_CENTER, *command], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[0]


def test_a_newcomer_joins_and_decides_who_sees_its_concept(center, data, tmp_path):
    join_token = told("invite", "eve", "--data", data)
    told("member", "add", "ben", "--data", data)
    with Session(center.url) as stranger:
        welcome = stranger.join(join_token)
    with Session(center.url, welcome.token) as eve:
        assert (eve.me().member, eve.me().token_id) == ("eve", welcome.token_id)
        assert eve.check_uploads()
        layer_map = eve.base("tiny").layer_map
        write_package(tmp_path / "package", layer_map, concept="eve/toy", seed=99)
        ref = eve.submit(tmp_path / "package", visibility="shared").ref
        assert eve.share_concept("eve/toy", "ben").shares == ("ben",)
        assert eve.unshare_concept("eve/toy", "ben").shares == ()
        assert eve.show_concept("eve/toy", "public").visibility == "public"
        assert [item.ref for item in eve.concept_overview("eve/toy").versions] == [ref]
        fusion = eve.request_fusion("toys", "tiny", [ref], solver="average", priority="low")
        assert (fusion.priority, fusion.requested_by) == ("low", "eve")
        withdrawn = eve.withdraw_concept(ref, "changed my mind")
        assert (withdrawn.concept.state, withdrawn.ended_fusions) == ("withdrawn", (fusion.id,))
        assert eve.models_with(ref) == []
        made = eve.create_token("reader", scopes=["model:read"], days=1)
        assert {item.name for item in eve.tokens()} == {"joined", "reader"}
        eve.revoke_token(made.id)
    with Session(center.url, made.token) as reader, pytest.raises(Unauthenticated):
        reader.models()
