"""Killing parts of the hub at random moments, and starting them again."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from hub_processes import Hub, Part

from chaos.edges import Edge

KINDS = {"client": 4, "api": 3, "worker": 3, "postgresql": 2, "s3": 2}
PAUSE_SECONDS = (0.3, 3.0)
AWAY_SECONDS = (0.0, 1.5)
# Most parts that were just started are left alone, so that work gets done at all.
YOUNG_SECONDS = 15.0
YOUNG_SHARE = 0.2


class Server(Protocol):
    """A database or store server that can be killed and started again on its data."""

    def kill(self) -> None: ...

    def restart(self) -> None: ...


@dataclass
class Faults:
    """Kills, one after the other, until `count` of them are done; the same seed, the same order."""

    hub: Hub
    edges: list[Edge]
    postgres: Server
    s3: Server
    seed: int
    done: Counter[str] = field(default_factory=Counter)

    def run(self, count: int) -> None:
        chance = random.Random(self.seed)
        while self.done.total() < count:
            time.sleep(chance.uniform(*PAUSE_SECONDS))
            kind = chance.choices(list(KINDS), weights=list(KINDS.values()))[0]
            away = chance.uniform(*AWAY_SECONDS)
            if self._hit(kind, chance, away):
                self.done[kind] += 1
                print(f"{self.done.total():4} of {count}: killed {kind}", flush=True)

    def _hit(self, kind: str, chance: random.Random, away: float) -> bool:
        """Kill one part of this kind, start it again; False when there is none to kill."""
        if kind == "client":
            return chance.choice(self.edges).kill()
        if kind == "postgresql":
            return _bounce_server(self.postgres, away)
        if kind == "s3":
            return _bounce_server(self.s3, away)
        parts = self.hub.apis if kind == "api" else self.hub.workers
        part = chance.choice(parts)
        is_young = time.monotonic() - part.started_at < YOUNG_SECONDS
        if is_young and chance.random() > YOUNG_SHARE:
            return False
        return _bounce(part, away)


def _bounce(part: Part, away: float) -> bool:
    part.kill()
    time.sleep(away)
    part.start()
    return True


def _bounce_server(server: Server, away: float) -> bool:
    server.kill()
    time.sleep(away)
    server.restart()
    return True
