"""`make chaos`: a hub under faults, and a table of what came of it in docs/chaos.md.

Eight clients submit and fusions are requested all the time while clients, API replicas, workers,
PostgreSQL and the S3 server are killed at random moments and started again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hub_processes import Hub
from hub_world import furnish, hub_settings
from servers import postgres_server, s3_server

from chaos.edges import Edge, Requester
from chaos.faults import Faults
from chaos.verdict import Verdict, judge

MEMBERS = ("ada", "bob", "cleo", "dan", "eve", "finn", "gus", "hal")
WARM_UP_SECONDS = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--page", type=Path, help="write the outcome into this Markdown file")
    parser.add_argument("--keep", type=Path, help="folder for logs, which is kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        began = time.monotonic()
        folder = given.keep or Path(temporary)
        faults, verdict = disturb(folder / "hub", given.faults, given.seed)
        page = describe(faults, verdict, given.seed, time.monotonic() - began)
    print(page)
    if given.page:
        given.page.write_text(page)
    return 1 if verdict.wrong else 0


def disturb(folder: Path, count: int, seed: int) -> tuple[Counter[str], Verdict]:
    """Run a hub with `count` faults; returns the faults by kind, and the verdict."""
    with postgres_server() as postgres, s3_server() as s3:
        hub = Hub(folder, hub_settings(postgres, s3))
        world = furnish(hub, list(MEMBERS))
        stopping = threading.Event()
        edges = [
            Edge(name, hub, world, folder / "edges" / name, number % 2, number + 1, stopping)
            for number, name in enumerate(MEMBERS)
        ]
        requester = Requester(hub, world, seed, stopping)
        hub.start()
        try:
            faults = Faults(hub, edges, postgres, s3, seed)
            threads = [threading.Thread(target=worker.run) for worker in (*edges, requester)]
            for thread in threads:
                thread.start()
            time.sleep(WARM_UP_SECONDS)
            faults.run(count)
            stopping.set()
            for thread in threads:
                thread.join()
            return faults.done, judge(hub, edges, requester, faults.done)
        finally:
            stopping.set()
            hub.stop()


def describe(faults: Counter[str], verdict: Verdict, seed: int, seconds: float) -> str:
    """The outcome as a page of Markdown."""
    rows = [f"| {kind} | {count} |" for kind, count in sorted(faults.items())]
    figures = [f"| {name} | {_shown(value)} |" for name, value in verdict.figures.items()]
    wrong = [f"- {what}" for what in verdict.wrong] or ["Nothing."]
    return "\n".join([
        "# Faults on purpose", "",
        "`make chaos` runs a hub (PostgreSQL, an S3 server, two API replicas, two workers), eight",
        "clients that submit one package after the other and a requester of fusions, kills parts",
        "of it with `kill -9` at random moments, and checks what is left when all is quiet again.",
        "",
        f"Last run: {datetime.now(UTC):%Y-%m-%d}, `--faults {faults.total()} --seed {seed}`, "
        f"{seconds / 60:.0f} minutes on two cores.", "",
        "| killed | times |", "|---|---|", *rows, f"| **all** | **{faults.total()}** |", "",
        "| afterwards | |", "|---|---|", *figures, "",
        "What must hold: every submission that a client was told of is approved or in a clear",
        "failed state; every accepted fusion is published or failed with a reason; no fusion is",
        "published twice, version numbers have no gaps; every blob that something refers to is in",
        "the store with the right hash; a client sends at most one file again per fault; the audit",
        "log's chain of hashes is whole.", "",
        "## What did not hold", "", *wrong, "",
    ])  # fmt: skip


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in sorted(value.items())) or "none"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
