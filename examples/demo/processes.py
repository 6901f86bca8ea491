"""The processes of the demo: a center in the background, clients side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent


class CommandError(Exception):
    """A command of the demo exited with an error."""


def run(label: str, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Run one of our commands, show its output line by line behind `label`, return the output."""
    lines = []
    with _start(command, environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  {label:<9}│ {line}", end="", flush=True)
            lines.append(line)
    if process.returncode:
        shown = " ".join(map(str, command))
        raise CommandError(f"{label}: `{shown}` exited with {process.returncode}")
    return "".join(lines)


def run_side_by_side(commands: Mapping[str, Sequence[str | Path]]) -> None:
    """Run several commands at once, one thread of arithmetic each; raise when any fails."""
    failures: list[CommandError] = []

    def work(label: str, command: Sequence[str | Path]) -> None:
        try:
            run(label, *command, environment={"OMP_NUM_THREADS": "1"})
        except CommandError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=item) for item in commands.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def serving_center(data: Path, log: Path) -> Iterator[str]:
    """Run `mos-center serve` on free loopback ports and yield its URL; stop it at the end."""
    told = data / "serving.json"
    told.unlink(missing_ok=True)
    with log.open("w") as output:
        center = subprocess.Popen(
            [BIN / "mos-center", "serve", "--data", data, "--port", "0", "--grpc-port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment({}),
        )
        try:
            yield _wait_until_ready(center, told, log)
        finally:
            center.terminate()
            try:
                center.wait(timeout=20)
            except subprocess.TimeoutExpired:
                center.kill()


def _wait_until_ready(center: subprocess.Popen[bytes], told: Path, log: Path) -> str:
    for _ in range(600):
        if center.poll() is not None:
            raise CommandError(f"the center did not start:\n{log.read_text()}")
        if told.exists():
            url: str = json.loads(told.read_text())["rest"]
            return url
        time.sleep(0.1)
    raise CommandError(f"the center was not ready within a minute; see {log}")


def _start(
    command: Sequence[str | Path], environment: Mapping[str, str] | None
) -> subprocess.Popen[str]:
    program, *arguments = map(str, command)
    path = BIN / program
    return subprocess.Popen(
        [path if path.exists() else program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(environment or {}),
    )


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    return os.environ | {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"} | dict(extra)
