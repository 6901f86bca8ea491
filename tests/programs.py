"""Our two programs as a user runs them: real processes, killed for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass
class RunningCenter:
    """A `mos-center serve` process on loopback."""

    process: subprocess.Popen[bytes]
    url: str

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def run(program: str, *arguments: str | Path) -> str:
    """Run one command to its end and return what it printed; fail with all of it otherwise."""
    done = subprocess.run(
        [BIN / program, *map(str, arguments)], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, f"{program} {arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def start(
    program: str, *arguments: str | Path, settings: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command and leave it running; `settings` go into its environment."""
    return subprocess.Popen(
        [BIN / program, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(settings or {}),
    )


@contextmanager
def serving(data: Path, **settings: str) -> Iterator[RunningCenter]:
    """A center that serves `data` on free ports; ended by SIGTERM unless the test killed it.

    `settings` are given to it as `MOS_…`.
    """
    told = data / "serving.json"
    told.unlink(missing_ok=True)
    command = ("serve", "--data", data, "--port", "0", "--grpc-port", "0")
    told_to_it = {f"MOS_{name.upper()}": value for name, value in settings.items()}
    process = start("mos-center", *command, settings=told_to_it)
    try:
        yield RunningCenter(process, _address(process, told))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def _address(process: subprocess.Popen[bytes], told: Path) -> str:
    for _ in range(1200):
        assert process.poll() is None, "the center ended before it served"
        if told.exists():
            url: str = json.loads(told.read_text())["rest"]
            return url
        time.sleep(0.1)
    raise AssertionError("the center did not start within two minutes")
