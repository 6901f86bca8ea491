"""A center on PostgreSQL whose workers are processes: they share, die, stop and hang at will."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg
from center_steps import submit_folder
from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.models import Fusion, Priority
from mos_center.domain.policy import Previews
from mos_center.domain.ports import FusionQueue
from mos_center.domain.states import is_finished
from mos_center.jobs.fusion_job import FusionJob
from mos_center.jobs.patience import Patience
from mos_center.jobs.slots import PostgresSlot, conninfo
from mos_center.jobs.sweeper import Rhythm
from mos_center.jobs.worker import Worker
from mos_center.opening import OpenedData, opened
from mos_center.service.fusion_ledger import FusionLedgerService
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.settings import Settings
from mos_protocol.layer_map import LayerMap

QUICK = Rhythm(sweep=0.2, takeover=0.6)
CONCEPTS = ("ada/c0", "ada/c1")
# Children of a process that has imported everything already are there at once.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["many_workers"])


def _start_forkserver() -> None:
    """Start it with the import path of the tests, which it does not inherit by itself."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


class HangingLedger(FusionLedgerService):
    """Touches a file and hangs while it is there when a fusion has come to the moment."""

    moment = ""
    touched = Path()

    def progress(self, fusion_id, done, total, message, *, attempt=None) -> bool:
        counts = super().progress(fusion_id, done, total, message, attempt=attempt)
        if message == self.moment:
            self.touched.touch()
            while self.touched.exists():
                time.sleep(0.02)
        return counts


@dataclass
class SharedCenter:
    """What is at hand to the tests: the center without a worker, and its worker processes."""

    settings: Settings
    data: OpenedData
    workers: dict[str, BaseProcess]

    def describe(self, base: Path, layers: LayerMap, packages: Sequence[Path]) -> None:
        center = self.data.center()
        center.bases.add("tiny", base, layers, {})
        for package in packages:
            submit_folder(center, package)

    def request(
        self,
        model: str,
        priority: Priority = Priority.NORMAL,
        queue: FusionQueue | None = None,
    ) -> Fusion:
        """Request a fusion of both concepts; without a queue, as if the message to it got lost."""
        center = self.data.center(queue)
        wanted = [WantedConcept(name) for name in CONCEPTS]
        request = FusionRequest(model, "tiny", wanted, priority=priority)
        return center.fusions.request(request, caller=LOCAL)[0]

    def fusion(self, fusion_id: str) -> Fusion:
        return self.data.center().fusions.get(fusion_id, caller=LOCAL)

    def start(self, name: str, moment: str = "") -> BaseProcess:
        """Start a worker process that hangs at the moment, if one is named."""
        arguments = (self.settings.data, self.settings.url, name, moment)
        _start_forkserver()
        process = _CONTEXT.Process(target=work, args=arguments, daemon=True)
        process.start()
        self.workers[name] = process
        return process

    def hangs(self, name: str) -> None:
        """Wait until the worker hangs at its moment."""
        until(hanging(self.settings.data, name).exists)

    def go_on(self, name: str) -> None:
        """Let the worker that hangs go on."""
        hanging(self.settings.data, name).unlink()

    def kill(self, name: str) -> None:
        process = self.workers.pop(name)
        process.kill()
        process.join()

    def cut_off(self, name: str) -> None:
        """Have the worker stand still and its connection to the lock break, as if unplugged."""
        os.kill(self.workers[name].pid or 0, signal.SIGSTOP)
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        with psycopg.connect(conninfo(self.settings.url)) as session:
            session.execute(query, ["mos-worker-slot"])

    def plug_in(self, name: str) -> None:
        os.kill(self.workers[name].pid or 0, signal.SIGCONT)

    def end(self) -> None:
        for name in list(self.workers):
            self.kill(name)

    def finish(self, *fusions: Fusion) -> list[Fusion]:
        """Wait until they are finished."""
        until(lambda: all(is_finished(self.fusion(item.id).state) for item in fusions))
        return [self.fusion(item.id) for item in fusions]

    def executors(self) -> dict[str, str]:
        """Who ended each job."""
        query = "SELECT workflow_uuid, executor_id FROM dbos.workflow_status"
        with psycopg.connect(conninfo(self.settings.url)) as session:
            return dict(session.execute(f"{query} WHERE status = 'SUCCESS'").fetchall())

    def versions(self, model: str) -> list[int]:
        found = self.data.center().models.versions(model, caller=LOCAL)
        return [version.version for version in found]


def until(done: Callable[[], bool], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


@contextmanager
def shared_center(url: str, folder: Path) -> Iterator[SharedCenter]:
    settings = Settings(data=folder, database_url=url, default_visibility=Visibility.PUBLIC)
    with opened(settings) as data:
        center = SharedCenter(settings, data, {})
        try:
            yield center
        finally:
            center.end()


def hanging(folder: Path, name: str) -> Path:
    """The file that is there while a worker hangs."""
    return folder / f"{name}.hangs"


def work(folder: Path, url: str, name: str, moment: str) -> None:
    """The body of a worker process."""
    log = (folder / f"{name}.log").open("a")
    os.dup2(log.fileno(), sys.stdout.fileno())
    os.dup2(log.fileno(), sys.stderr.fileno())
    faulthandler.register(signal.SIGUSR1)
    with opened(Settings(data=folder, database_url=url)) as data:
        ledger = HangingLedger(data.database, data.blobs)
        ledger.moment, ledger.touched = moment, hanging(folder, name)
        patience = Patience([0.1] * 20)
        fusions = FusionJob(
            ledger,
            data.blobs,
            folder / "work" / name,
            patience=patience,
            executor=name,
            previews=Previews.NEVER,
        )
        worker = Worker(
            url, PostgresSlot(url, name), fusions, executor=name, patience=patience, rhythm=QUICK
        )
        signal.signal(signal.SIGTERM, lambda number, frame: worker.end())
        worker.start()
        try:
            worker.wait()
        finally:
            worker.stop()
