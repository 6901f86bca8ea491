"""The proxy's configuration in an nginx of this machine."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import composed
from deployment import DEPLOY

WAIT = 20


def configuration(places: dict[str, str]) -> str:
    """The configuration with each key replaced by its value; every key must be there."""
    text = (DEPLOY / "nginx" / "nginx.conf").read_text()
    for before, after in places.items():
        assert before in text, before
        text = text.replace(before, after)
    version = subprocess.run([nginx(), "-v"], capture_output=True, text=True, check=True).stderr
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (1, 25):
        # Debian's nginx still has the older spelling of the same.
        text = re.sub(r" ssl;\n\s+http2 on;", " ssl http2;", text)
    return text


def nginx() -> str:
    """The program."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert found, "nginx is missing: apt-get install nginx-light"
    return found


@contextmanager
def running(text: str, path: Path, port: int) -> Iterator[None]:
    """Run nginx with this configuration, written to `path`, once it listens on `port`."""
    path.write_text(text)
    with (path.parent / "error.log").open("wb") as log:
        process = subprocess.Popen(
            [nginx(), "-c", path, "-e", "stderr", "-g", "daemon off;"], stderr=log
        )
    try:
        composed.wait_for(process, lambda: _listens(port))
        yield
    finally:
        process.terminate()
        process.wait(WAIT)


def _listens(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True
