"""An API replica where only what `[api]` installs can be imported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

import grpc
import httpx
import pytest
from deployment import ROOT
from grpc_health.v1 import health_pb2, health_pb2_grpc
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DISTRIBUTION = "mos-federation"
ENGINE = {"torch", "diffusers", "transformers", "peft", "accelerate", "matplotlib"}
# Refuses modules as if they were not installed, then runs mos-center.
PROGRAM = """
import json, sys
from importlib.machinery import PathFinder

absent = set(json.loads(sys.argv.pop(1)))

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from mos_center.main import main
main()
"""


def installed_with(extra: str) -> set[str]:
    """Names of all distributions that come with the extra, from what is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [
        (Requirement(text), "")
        for text in project["dependencies"] + project["optional-dependencies"][extra]
    ]
    found = {DISTRIBUTION}
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, of = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of}):
            continue
        name = canonicalize_name(requirement.name)
        for part in ("", *requirement.extras):
            if (name, part) in seen:
                continue
            seen.add((name, part))
            try:
                needs = distribution(name).requires or []
            except PackageNotFoundError:
                continue
            found.add(name)
            waiting += [(Requirement(text), part) for text in needs]
    return found


def absent_modules() -> list[str]:
    """Top-level modules that an installation of `[api]` alone would lack."""
    there = installed_with("api")
    return sorted(
        module
        for module, names in packages_distributions().items()
        if not any(canonicalize_name(name) in there for name in names)
    )


@dataclass(frozen=True)
class Replica:
    process: subprocess.Popen[str]
    rest: str
    grpc: str


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    data = tmp_path_factory.mktemp("replica") / "data"
    process = start("serve", "--no-worker", "--port", "0", "--grpc-port", "0", "--data", str(data))
    try:
        deadline = time.monotonic() + 120
        while not (data / "serving.json").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        addresses = json.loads((data / "serving.json").read_text())
        yield Replica(process, addresses["rest"], addresses["grpc"])
    finally:
        process.kill()
        process.communicate()


def start(*arguments: str) -> subprocess.Popen[str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("MOS_")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(absent_modules()), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**own, "COLUMNS": "200"},
    )


def test_the_engine_is_not_part_of_what_an_api_replica_installs() -> None:
    there = installed_with("api")

    assert not {name.lower() for name in ENGINE} & there
    assert set(absent_modules()) >= ENGINE
    assert {"fastapi", "grpcio", "sqlalchemy", "minio", "psycopg", "dbos", "numpy"} <= there


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/center", "/openapi.json"])
def test_a_replica_without_torch_answers(replica: Replica, path: str) -> None:
    assert httpx.get(replica.rest + path).status_code == 200


@pytest.mark.parametrize("path", ["/v1/bases", "/v1/concepts", "/v1/fusions", "/v1/models"])
def test_a_replica_without_torch_reads_its_database(replica: Replica, path: str) -> None:
    assert httpx.get(replica.rest + path).status_code == 200


def test_a_replica_without_torch_shows_the_dashboard(replica: Replica) -> None:
    page = httpx.get(replica.rest, follow_redirects=True)

    assert page.status_code == 200
    assert re.search("<html", page.text)


def test_a_replica_without_torch_answers_grpc(replica: Replica) -> None:
    with grpc.insecure_channel(replica.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="mos.v1.Submissions"), timeout=20
        )

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_command_line_starts_without_torch() -> None:
    output, errors = start("--help").communicate(timeout=60)

    assert "serve" in output
    assert "migrate" in output
    assert errors == ""
