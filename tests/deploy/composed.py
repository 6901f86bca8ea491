"""What the compose file runs, as processes of this machine: same options, other places."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from deployment import COMPOSE, DEPLOY, interpolated, load
from mos_center.settings import Settings, load_settings
from servers import find_weed, free_ports

WAIT = 60
SERVICES = load(COMPOSE)["services"]


def script(name: str, *arguments: object) -> None:
    """Run one of the scripts for a first start."""
    command = ["sh", str(DEPLOY / "compose" / name), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def make_bucket() -> Callable[[Settings], str]:
    """The function of the one-shot service `bucket`."""
    path = DEPLOY / "compose" / "make_bucket.py"
    specification = importlib.util.spec_from_file_location("make_bucket", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.make_bucket


@contextmanager
def store(folder: Path) -> Iterator[Settings]:
    """The S3 server with the secrets that lie in `folder`; yields settings that lead to it."""
    ports = free_ports(4)
    process = subprocess.Popen(
        [find_weed(), *_store_command(folder, *ports)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{ports[0]}"
    try:
        # As the container's health check does, by the path that it asks.
        path = urlsplit(SERVICES["s3"]["healthcheck"]["test"][-1]).path
        wait_for(process, lambda: httpx.get(endpoint + path, timeout=5).status_code == 200)
        environment = {"MOS_SECRETS_DIR": str(folder)}
        yield load_settings(environment, s3_endpoint=endpoint, s3_bucket="concepts")
    finally:
        process.kill()
        process.wait()


def _store_command(folder: Path, s3: int, master: int, volume: int, filer: int) -> list[str]:
    (folder / "objects").mkdir()
    places = {
        "-dir=/data": f"-dir={folder / 'objects'}",
        "-ip=s3": "-ip=127.0.0.1",
        "-ip.bind=0.0.0.0": "-ip.bind=127.0.0.1",
        "-s3.port=8333": f"-s3.port={s3}",
        "-filer.localSocket=/tmp/filer.sock": f"-filer.localSocket={folder / 'f'}",
        "-s3.localSocket=/tmp/s3.sock": f"-s3.localSocket={folder / 's'}",
        "-s3.config=/run/secrets/s3_identities": f"-s3.config={folder / 's3_identities'}",
    }
    assert set(places) <= set(SERVICES["s3"]["command"])
    own = [places.get(option, option) for option in SERVICES["s3"]["command"]]
    return [*own, f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"]


def environment(service: str, **others: object) -> dict[str, str]:
    """The environment of a service of ours, its image's included; `others` go before it."""
    image = {"MOS_HOST": "0.0.0.0", "MOS_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
    own = {key: value for key, value in os.environ.items() if not key.startswith("MOS_")}
    composed = {
        key: interpolated(str(value), {}) for key, value in SERVICES[service]["environment"].items()
    }
    return {**own, **image, **composed, **{key: str(value) for key, value in others.items()}}


def center(*arguments: str) -> list[str]:
    """A command line of mos-center."""
    return [sys.executable, "-m", "mos_center.main", *arguments]


def wait_for(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Wait until it is ready; fails when the process ends."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            if ready():
                return
        except (httpx.TransportError, OSError):
            pass
        assert process.poll() is None, "the process ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)
