"""The edge of the hub under faults: clients that submit, and a requester of fusions."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from hub_processes import Hub
from hub_world import BASE, World, write_concept

CLIENT = Path(__file__).with_name("client.py")


@dataclass
class Edge:
    """A member whose client submits one package after another; the process can be killed."""

    member: str
    hub: Hub
    world: World
    folder: Path
    replica: int
    seed: int
    stopping: threading.Event
    packages: list[str] = field(default_factory=list)
    kills: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def run(self) -> None:
        """Submit packages until told to stop; every package that was begun is finished."""
        while not self.stopping.is_set():
            number = len(self.packages)
            folder = self.folder / f"package-{number}"
            concept = f"{self.member}/c{number}"
            write_concept(folder, self.world.layers, concept, self.seed * 1000 + number)
            self.packages.append(concept)
            self._submit(folder, self.folder / f"sent-{number}.log")

    def _submit(self, package: Path, log: Path) -> None:
        """Start the client until it has an answer; a killed one is started again at once."""
        while True:
            command = [sys.executable, CLIENT, self.hub.url_of(self.replica), package, log]
            environment = {**os.environ, "MOS_TOKEN": self.world.tokens[self.member]}
            self.process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            _, errors = self.process.communicate()
            if self.process.returncode in (0, 3):
                return
            if self.process.returncode != -signal.SIGKILL:
                (package.parent / "errors.log").open("ab").write(errors)
                time.sleep(0.5)

    def kill(self) -> bool:
        """kill -9 of the client that runs, if one does."""
        process = self.process
        if process is None or process.poll() is not None:
            return False
        self.kills += 1
        process.kill()
        return True

    def resent(self) -> int:
        """How many files were begun again after they had been begun before."""
        again = 0
        for log in sorted(self.folder.glob("sent-*.log")):
            began = Counter(line["began"] for line in read_log(log) if "began" in line)
            again += sum(began.values()) - len(began)
        return again

    def answers(self) -> list[dict[str, str]]:
        """The last line of each package's log: what the client was told."""
        return [read_log(log)[-1] for log in sorted(self.folder.glob("sent-*.log"))]


class Requester:
    """Asks for fusions of what is approved, now of one replica, now of the other.

    An asked fusion counts as accepted once a replica answered 2xx; until then the request is
    sent again with the same idempotency key.
    """

    def __init__(self, hub: Hub, world: World, seed: int, stopping: threading.Event) -> None:
        self._hub = hub
        self._world = world
        self._random = random.Random(seed)
        self._stopping = stopping
        self.accepted: dict[str, str] = {}
        self.again = 0

    def run(self) -> None:
        while not self._stopping.is_set():
            concepts = self._approved()
            if len(concepts) >= 2:
                self._request(concepts)
            self._stopping.wait(0.3)

    def _approved(self) -> list[str]:
        answer = self._call("GET", "/v1/concepts?limit=200")
        items = answer.json()["items"] if answer is not None else []
        return sorted(item["name"] for item in items if item["state"] == "approved")

    def _request(self, concepts: list[str]) -> None:
        chosen = self._random.sample(concepts, min(len(concepts), self._random.randint(2, 4)))
        body = {
            "model": f"model-{self._random.randint(0, 3)}",
            "base": BASE,
            "concepts": [{"name": name} for name in sorted(chosen)],
            "prior_weight": 0,
            "solver": self._random.choice(["closed-form", "average"]),
        }
        key = uuid.uuid4().hex
        while not self._stopping.is_set():
            answer = self._call("POST", "/v1/fusions", json=body, headers={"Idempotency-Key": key})
            if answer is not None and answer.status_code in (200, 202):
                self.accepted[answer.json()["id"]] = json.dumps(body)
                return
            self.again += 1
            self._stopping.wait(0.2)

    def _call(self, method: str, path: str, **more: object) -> httpx.Response | None:
        """The answer of a random replica; None when it can't be reached or is not ready."""
        url = self._hub.url_of(self._random.randrange(len(self._hub.apis)))
        headers = {"Authorization": f"Bearer {self._world.admin}", **more.pop("headers", {})}
        try:
            answer = httpx.request(method, url + path, headers=headers, timeout=30, **more)
        except httpx.TransportError:
            return None
        return None if answer.status_code in (409, 503) else answer


def read_log(path: Path) -> list[dict[str, str]]:
    """The whole lines of a client's log; a kill may have cut the last one."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
