"""A whole hub on loopback: API replicas and workers on one PostgreSQL and one S3 server.

Every part is a process of its own, started by the commands that an operator uses, and can be
killed and started again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent
START_SECONDS = 180.0


@dataclass
class Part:
    """One process of the hub; `told` is the file in which it says that it serves, if it does."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    told: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    started_at: float = 0.0

    def start(self) -> None:
        """Start the process; does not wait until it serves."""
        self.started_at = time.monotonic()
        if self.told is not None:
            self.told.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )

    def wait(self) -> None:
        """Wait until it serves; fails with the end of its log when it ends before."""
        deadline = time.monotonic() + START_SECONDS
        while self.told is not None and not self.told.exists():
            assert self.is_alive, f"{self.name} ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} does not start:\n{self.tail()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM, as an operator stops it; returns the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=90)

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self, size: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""


class Hub:
    """The processes of one center, by name: `api-0`, `api-1`, `worker-0`, `worker-1`.

    folder: a new folder for logs and local files. settings: `MOS_…` that all parts get.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, replicas: int = 2, workers: int = 2
    ) -> None:
        self.folder = folder
        self.settings = {
            "MOS_HOST": "127.0.0.1",
            "MOS_LOG_FORMAT": "json",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            **settings,
        }
        (folder / "logs").mkdir(parents=True)
        self._ports: list[int] = []
        apis = [self._api(number) for number in range(replicas)]
        self.parts = {part.name: part for part in [*apis, *map(self._worker, range(workers))]}

    @property
    def apis(self) -> list[Part]:
        return [part for name, part in self.parts.items() if name.startswith("api-")]

    @property
    def workers(self) -> list[Part]:
        return [part for name, part in self.parts.items() if name.startswith("worker-")]

    def start(self) -> None:
        """Start every part and wait until the replicas answer."""
        for part in self.parts.values():
            part.start()
        for part in self.apis:
            part.wait()

    def stop(self) -> None:
        """Stop every part as an operator would."""
        for part in self.parts.values():
            if part.is_alive and part.process is not None:
                part.process.terminate()
        for part in self.parts.values():
            part.stop()

    def url_of(self, replica: int) -> str:
        """Where a replica answers REST calls, also while it is away."""
        return f"http://127.0.0.1:{self._ports[replica]}"

    def run(self, *arguments: str | Path) -> str:
        """Run a `mos-center` command with the hub's settings; returns what it printed."""
        done = subprocess.run(
            [BIN / "mos-center", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=400,
            env={**os.environ, **self.settings, "MOS_DATA": str(self.folder / "command")},
        )
        assert done.returncode == 0, f"mos-center {arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _api(self, number: int) -> Part:
        name, data = f"api-{number}", self.folder / f"api-{number}"
        data.mkdir(parents=True)
        # Fixed ports: a replica that starts again must be found where it was.
        rest, grpc = free_port(), free_port()
        self._ports.append(rest)
        command = ["serve", "--no-worker", "--port", str(rest), "--grpc-port", str(grpc)]
        return self._part(name, command, data, told=data / "serving.json")

    def _worker(self, number: int) -> Part:
        name = f"worker-{number}"
        return self._part(name, ["worker", "--executor", name], self.folder / name)

    def _part(self, name: str, command: list[str], data: Path, told: Path | None = None) -> Part:
        return Part(
            name,
            [str(BIN / "mos-center"), *command],
            {**self.settings, "MOS_DATA": str(data)},
            self.folder / "logs" / f"{name}.log",
            told,
        )


@contextmanager
def running_hub(hub: Hub) -> Iterator[Hub]:
    """Have the hub run inside the context."""
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
