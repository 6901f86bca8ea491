"""A client, a center's process, PostgreSQL and an S3 server: transfers that are killed midway."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from center_steps import publish
from concept_packages import small_layer_map, write_package
from mos_center.opening import OpenedData, opened
from mos_center.settings import Settings
from mos_client import Backoff, Session, SubmissionState, TransferProgress
from mos_protocol.manifest import read_manifest
from mos_protocol.names import Digest
from pydantic import SecretStr
from servers import PostgresServer, S3Server

MOS_CENTER = Path(sys.executable).with_name("mos-center")
LARGE = os.urandom(1 << 20) * 12


class Hub:
    """`mos-center serve --no-worker` on PostgreSQL and an S3 server, at ports that stay."""

    def __init__(self, folder: Path, postgres: PostgresServer, s3: S3Server) -> None:
        self.settings = Settings(
            data=folder,
            database_url=SecretStr(postgres.url(postgres.new_database())),
            s3_endpoint=s3.endpoint,
            s3_bucket=s3.new_bucket(),
            s3_access_key=s3.access_key,
            s3_secret_key=SecretStr(s3.secret_key),
        )
        self._ports = {"rest": "0", "grpc": "0"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['rest']}"

    def start(self) -> None:
        told = self.settings.data / "serving.json"
        told.unlink(missing_ok=True)
        ports = ["--port", self._ports["rest"], "--grpc-port", self._ports["grpc"]]
        log = (self.settings.data / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [MOS_CENTER, "serve", "--no-worker", "--data", self.settings.data, *ports],
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment()},
            )
        deadline = time.monotonic() + 120
        while not told.exists() or not told.read_text().endswith("}"):
            tail = (self.settings.data / "log").read_text()[-3000:]
            assert self._process.poll() is None, tail
            assert time.monotonic() < deadline, tail
            time.sleep(0.05)
        found = json.loads(told.read_text())
        self._ports = {name: found[name].rpartition(":")[2] for name in self._ports}

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def _environment(self) -> dict[str, str]:
        settings = self.settings
        assert settings.database_url is not None
        return {
            "MOS_DATABASE_URL": settings.database_url.get_secret_value(),
            "MOS_S3_ENDPOINT": settings.s3_endpoint,
            "MOS_S3_BUCKET": settings.s3_bucket,
            "MOS_S3_ACCESS_KEY": settings.s3_access_key,
            "MOS_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        }


@pytest.fixture(scope="module")
def hub(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, s3: S3Server
) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    found = Hub(folder / "data", postgres, s3)
    with opened(found.settings) as data:
        data.center().bases.add("small", folder, small_layer_map(), {})
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def data(hub: Hub) -> Iterator[OpenedData]:
    """The hub's database and store, from beside it."""
    with opened(hub.settings) as found:
        yield found


@pytest.fixture
def session(hub: Hub) -> Iterator[Session]:
    with Session(hub.url, backoff=Backoff(attempts=40, first=0.2, longest=1)) as found:
        yield found


@pytest.fixture
def package(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A package of this test's own concept."""
    number = sum(map(ord, request.node.name))
    return write_package(tmp_path / "package", concept=f"ada/c{number}", seed=number)


class ClientDiedError(Exception):
    """Stands for the death of the client."""


def begun_files(seen: list[str], progress: TransferProgress) -> int:
    """Note the file that is being sent; how many were begun."""
    if progress.path and (not seen or seen[-1] != progress.path):
        seen.append(progress.path)
    return len(seen)


def test_a_package_goes_to_the_store_past_the_center(
    session: Session, data: OpenedData, package: Path
) -> None:
    submission = session.submit(package)

    assert submission.state is SubmissionState.APPROVED
    digests = {entry.sha256 for entry in read_manifest(package).files}
    assert digests <= {blob.digest for blob in data.blobs.blobs()}
    assert session.submit(package) == submission


def test_a_client_that_died_goes_on_with_what_is_missing(session: Session, package: Path) -> None:
    begun: list[str] = []

    def die_in_the_third_file(progress: TransferProgress) -> None:
        if begun_files(begun, progress) == 3:
            raise ClientDiedError

    with pytest.raises(ClientDiedError):
        session.submit(package, die_in_the_third_file)
    again: list[str] = []

    def note(progress: TransferProgress) -> None:
        begun_files(again, progress)

    done = session.submit(package, note)

    assert done.state is SubmissionState.APPROVED
    assert not set(begun[:2]) & set(again)


@pytest.mark.parametrize("killed", ["center", "store", "database"])
def test_over_a_kill_at_most_one_file_is_sent_again(
    killed: str,
    hub: Hub,
    s3: S3Server,
    postgres: PostgresServer,
    session: Session,
    package: Path,
) -> None:
    restart = {"center": hub.restart, "store": s3.restart, "database": postgres.restart}[killed]
    begun: list[str] = []
    kills: list[threading.Thread] = []

    def kill_in_the_second_file(progress: TransferProgress) -> None:
        if begun_files(begun, progress) == 2 and not kills:
            kills.append(threading.Thread(target=restart))
            kills[0].start()
            time.sleep(0.1)

    submission = session.submit(package, kill_in_the_second_file)
    kills[0].join()

    assert submission.state is SubmissionState.APPROVED
    assert len(begun) - len(set(begun)) <= 1


def test_a_model_is_fetched_from_the_store_without_the_token(
    hub: Hub, session: Session, data: OpenedData, package: Path, tmp_path: Path
) -> None:
    concept = session.submit(package).concept
    files = {"README.md": b"a model", "large.bin": LARGE}
    publish(data.center(), data, "demo", 1, files, concept=concept)
    url = f"{hub.url}/v1/models/demo/1/files/large.bin"

    answer = httpx.get(url, headers={"Range": "bytes=5-9"})
    assert answer.status_code == 307
    assert answer.headers["location"].startswith(hub.settings.s3_endpoint)
    assert answer.headers["etag"] == f'"{hashlib.sha256(LARGE).hexdigest()}"'
    partial = httpx.get(url, headers={"Range": "bytes=5-9"}, follow_redirects=True)
    assert (partial.status_code, partial.content) == (206, LARGE[5:10])

    session.pull("demo@1", tmp_path / "demo")
    assert (tmp_path / "demo/large.bin").read_bytes() == LARGE


def test_a_download_goes_on_after_the_store_was_killed(
    session: Session, s3: S3Server, data: OpenedData, package: Path, tmp_path: Path
) -> None:
    concept = session.submit(package).concept
    publish(data.center(), data, "other", 1, {"large.bin": LARGE}, concept=concept)
    kills: list[threading.Thread] = []

    def kill_in_the_middle(progress: TransferProgress) -> None:
        if progress.path == "large.bin" and not kills:
            kills.append(threading.Thread(target=s3.restart))
            kills[0].start()

    session.pull("other@1", tmp_path / "other", kill_in_the_middle)
    kills[0].join()

    assert (tmp_path / "other/large.bin").read_bytes() == LARGE
    digest = Digest(hashlib.sha256(LARGE).hexdigest())
    assert data.blobs.exists(digest)
