"""How long the server takes for each page of the dashboard when a center has been used for long.

10,000 concept versions, 3,000 model versions, 100,000 entries of the audit log; every page with
filters that fit much, little and nothing, for an admin, a curator and a plain member, who sees
only what others show. In one process, without a network.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from measuring import table, write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from crowd import ADMIN, CURATOR, MEMBER, Crowd, fill_crowd
from crowd.addresses import addresses
from mos_center.api.rest.about import CenterInfo
from mos_center.opening import OpenedData, opened
from mos_center.processes.listening import application
from mos_center.settings import Settings
from pydantic import SecretStr
from servers import postgres_server

Figures = dict[str, Any]
VISITORS = {ADMIN: "admin", CURATOR: "curator", MEMBER: "member"}
DATABASES = ("sqlite", "postgresql")
GOAL_MS = 100


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as a markdown section."""
    parser = argparse.ArgumentParser(description="Server time of the dashboard's pages.")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--rounds", type=int, default=7, help="how often each page is opened")
    parser.add_argument("--only", choices=DATABASES, action="append", help="databases")
    parser.add_argument("--page", help="only pages whose address begins like this")
    parser.add_argument("--quick", action="store_true", help="a small crowd, to see that it runs")
    given = parser.parse_args(argv)
    scale, rounds = (0.02, 1) if given.quick else (1.0, given.rounds)
    databases = given.only or DATABASES
    result = {name: measure(name, scale, rounds, given.page or "/") for name in databases}
    print(section(result, rounds, scale))
    write_json(given.json, result)


def measure(database: str, scale: float, rounds: int, page: str) -> Figures:
    """The times of every page on one database, by visitor and page, in seconds."""
    with crowded(database, scale) as (data, crowd):
        return asyncio.run(_visits(data, crowd, rounds, page))


@contextmanager
def crowded(database: str, scale: float) -> Iterator[tuple[OpenedData, Crowd]]:
    """A center that many people have used for long, on the database."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder), worker=False, rate_limit=0)
        if database == "sqlite":
            with opened(settings) as data:
                yield data, fill_crowd(data.database, data.blobs, scale)
            return
        with postgres_server() as server:
            url = SecretStr(server.url(server.new_database()))
            with opened(settings.model_copy(update={"database_url": url})) as data:
                yield data, fill_crowd(data.database, data.blobs, scale)


async def _visits(data: OpenedData, crowd: Crowd, rounds: int, page: str) -> Figures:
    info = CenterInfo(version="", grpc="", worker=False)
    app = application(data.center(), info, data.settings, asyncio.Event())
    wanted = {key: paths for key, paths in addresses(crowd).items() if key.startswith(page)}
    found: Figures = {}
    for member in VISITORS:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
            await browser.post("/dashboard/login", data={"token": crowd.token_of(member)})
            found[member] = {
                template: [await _visit(browser, path, rounds) for path in paths]
                for template, paths in wanted.items()
            }
    return found


async def _visit(browser: httpx.AsyncClient, path: str, rounds: int) -> Figures:
    """Open one page again and again; the first time, which fills caches, does not count."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        answer = await browser.get(f"/dashboard{path}")
        taken.append(time.perf_counter() - began)
    return {"path": path, "status": answer.status_code, "seconds": taken[1:] or taken}


def section(result: Figures, rounds: int, scale: float) -> str:
    """The figures as markdown."""
    text = [
        "## Dashboard: server time per page", "",
        f"A center with {10_000 * scale:,.0f} concept versions, {1_000 * scale:,.0f} models of "
        f"three versions and {100_000 * scale:,.0f} entries of the log. Milliseconds, median of "
        f"{rounds} visits: of the page's middle address, and of its slowest. The goal is "
        f"{GOAL_MS} for each.",
    ]  # fmt: skip
    for database, visitors in result.items():
        pages = next(iter(visitors.values()))
        rows = [
            [f"`{page}`", *(cell for member in visitors for cell in _cells(visitors[member][page]))]
            for page in pages
        ]
        roles = [VISITORS[member] for member in visitors]
        head = ["page", *(f"{role}{what}" for role in roles for what in ("", ", slowest"))]
        text += ["", f"### {database}", "", table(head, rows)]
        text += ["", *_slow(visitors)]
    return "\n".join(text)


def _cells(visits: list[Figures]) -> tuple[str, str]:
    medians = sorted(statistics.median(visit["seconds"]) for visit in visits)
    if all(visit["status"] == 403 for visit in visits):
        return "–", "–"
    return f"{1000 * statistics.median(medians):.0f}", f"{1000 * medians[-1]:.0f}"


def _slow(visitors: Figures) -> list[str]:
    """The addresses that miss the goal."""
    return [
        f"- {member} waits {1000 * seconds:.0f} ms for `{visit['path']}`"
        for member, pages in visitors.items()
        for visits in pages.values()
        for visit in visits
        if 1000 * (seconds := statistics.median(visit["seconds"])) > GOAL_MS
    ]


if __name__ == "__main__":
    main()
