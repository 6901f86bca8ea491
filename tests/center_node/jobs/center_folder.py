"""A ledger and a blob store as files of one folder, so that they outlive a killed worker.

As a program, `python center_folder.py FOLDER MOMENT` runs a worker on the folder and hangs at the
moment that is named: a message of progress, or `published`.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from mos_center.domain.fusion_events import PlannedStep
from mos_center.domain.jobs import Attempt, Job, fusion_of
from mos_center.domain.models import BaseRecord, FusionPlan, PlannedConcept, PublishedFile
from mos_center.jobs.fusion_job import FusionJob
from mos_center.jobs.heartbeat import Heartbeat
from mos_center.jobs.patience import Patience
from mos_center.jobs.slots import FileSlot
from mos_center.jobs.sweeper import Rhythm
from mos_center.jobs.worker import Worker
from mos_protocol.errors import Conflict, JobFailed, MosError, NotFound
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import read_manifest, sha256_of
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

FINISHED = ("published", "failed", "cancelled")


class FolderBlobs:
    """Blobs as files named by their digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put_file(self, path: Path, digest: Digest) -> None:
        assert sha256_of(path) == digest
        partial = self._folder / f"{digest}.partial"
        shutil.copyfile(path, partial)
        partial.rename(self._folder / digest)

    @contextmanager
    def local_path(self, digest: Digest) -> Iterator[Path]:
        if not (self._folder / digest).is_file():
            raise NotFound(f"There is no blob {digest[:12]}….")
        yield self._folder / digest


class FolderLedger:
    """Fusions as one JSON file each; every publication is also noted in a log."""

    def __init__(self, folder: Path, on_moment: Callable[[str], None] = lambda moment: None):
        self._folder = folder
        self._on_moment = on_moment
        self._lock = threading.RLock()

    def unfinished(self) -> tuple[Job, ...]:
        ids = sorted(path.stem for path in (self._folder / "fusions").iterdir())
        return tuple(Job(name) for name in ids if self.read(name)["state"] not in FINISHED)

    def begin(self, job_id: str, *, executor: str = "") -> Attempt | None:
        with self._lock:
            known = self.read(fusion_of(job_id)[0])
            if known["state"] in FINISHED:
                return None
            self.update(job_id, attempts=known.get("attempts", 0) + 1)
            return Attempt(known.get("attempts", 0) + 1, f"request-of-{job_id}")

    def paused(self, fusion_id: str, attempt: int) -> None:
        self.update(fusion_id, paused=attempt)

    def plan(self, fusion_id: str) -> FusionPlan:
        center = json.loads((self._folder / "center.json").read_text())
        request = self.read(fusion_id)
        return FusionPlan(
            fusion_id=fusion_id,
            model="demo",
            base=BaseRecord(
                "tiny",
                Digest(center["layers"]["digest"]),
                Path(center["base"]),
                LayerMap.model_validate(center["layers"]),
            ),
            concepts=tuple(
                PlannedConcept(
                    f"ada/c{number}@1",
                    PartWeights(),
                    read_manifest(Path(item["package"])),
                    item["files"],
                )
                for number, item in enumerate(center["concepts"])
            ),
            solver=request["solver"],
            prior_weight=request["prior_weight"],
            ridge=None,
            lbfgs_steps=None,
            refine_rounds=0,
            exports=(),
            build=Digest("0" * 64),
            previews=request["previews"],
        )

    def package(self, manifest: Digest) -> PlannedConcept | None:
        return None

    def started(self, fusion_id: str) -> None:
        with self._lock:
            if self.read(fusion_id)["state"] in FINISHED:
                raise Conflict("It is finished.")
            self.update(fusion_id, state="running")

    def progress(
        self, fusion_id: str, done: int, total: int, message: str, *, attempt: int | None = None
    ) -> bool:
        with self._lock:
            known = self.read(fusion_id)
            if attempt not in (None, known["attempts"]):
                return False
            self.update(fusion_id, progress=[*known["progress"], [done, total, message]])
        self._on_moment(message)
        return True

    def planned(self, fusion_id: str, steps: Sequence[PlannedStep], *, attempt: int) -> None:
        self.update(fusion_id, planned=[[step.name, step.block] for step in steps])

    def step_done(
        self,
        fusion_id: str,
        step: str,
        seconds: float,
        finding: Mapping[str, object] | None = None,
        *,
        attempt: int,
    ) -> None:
        with self._lock:
            found = self.read(fusion_id).get("found", {})
            self.update(fusion_id, found={**found, step: finding})

    def is_cancelled(self, fusion_id: str) -> bool:
        return self.read(fusion_id)["state"] == "cancelled"

    def publish(
        self,
        fusion_id: str,
        files: Sequence[PublishedFile],
        report: dict,
        *,
        attempt: int | None = None,
    ) -> int:
        with self._lock:
            known = self.read(fusion_id)
            if known["state"] == "published":
                return known["version"]
            if known["state"] in FINISHED:
                raise Conflict("It is finished.")
            with (self._folder / "published.log").open("a") as log:
                log.write(fusion_id + "\n")
            published = [asdict(file) for file in files]
            self.update(
                fusion_id,
                state="published",
                version=1,
                files=published,
                warnings=report["warnings"],
            )
        self._on_moment("published")
        return 1

    def lost(self, job_id: str) -> None:
        self.failed(fusion_of(job_id)[0], JobFailed("The fusion's job was lost."))

    def failed(self, fusion_id: str, error: MosError, *, attempt: int | None = None) -> None:
        with self._lock:
            if self.read(fusion_id)["state"] not in FINISHED:
                told = [error.code, error.message, error.hint]
                self.update(fusion_id, state="failed", error=told)

    def read(self, fusion_id: str) -> dict:
        return json.loads((self._folder / "fusions" / f"{fusion_id}.json").read_text())

    def update(self, fusion_id: str, **changes) -> None:
        with self._lock:
            path = self._folder / "fusions" / f"{fusion_id}.json"
            known = json.loads(path.read_text()) if path.exists() else {}
            path.with_suffix(".partial").write_text(json.dumps({**known, **changes}))
            path.with_suffix(".partial").rename(self._folder / "fusions" / f"{fusion_id}.json")


class CenterFolder:
    """The folder itself: what is described in it, who works on it, what came of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.blobs = FolderBlobs(folder / "blobs")
        self.ledger = FolderLedger(folder)

    def describe(self, base: Path, layers: LayerMap, packages: Sequence[Path]) -> None:
        (self.folder / "fusions").mkdir(parents=True)
        concepts = []
        for package in packages:
            manifest = read_manifest(package)
            for entry in manifest.files:
                self.blobs.put_file(package / entry.path, Digest(entry.sha256))
            files = {entry.path: entry.sha256 for entry in manifest.files}
            concepts.append({"package": str(package), "files": files})
        described = {
            "base": str(base),
            "layers": layers.model_dump(mode="json"),
            "concepts": concepts,
        }
        (self.folder / "center.json").write_text(json.dumps(described))

    def request(
        self,
        fusion_id: str,
        solver: str = "closed-form",
        prior_weight: float = 0,
        previews: bool = False,
    ) -> None:
        self.ledger.update(
            fusion_id,
            state="queued",
            solver=solver,
            prior_weight=prior_weight,
            previews=previews,
            progress=[],
        )

    def worker(
        self,
        on_moment: Callable[[str], None] = lambda moment: None,
        heartbeat: Heartbeat | None = None,
    ) -> Worker:
        ledger = FolderLedger(self.folder, on_moment)
        patience = Patience([0.01] * 3)
        fusions = FusionJob(ledger, self.blobs, self.work, patience=patience)
        slot = FileSlot(self.folder / "worker.lock")
        url = f"sqlite:///{self.folder / 'jobs.db'}"
        rhythm = Rhythm(sweep=0.2)
        return Worker(url, slot, fusions, patience=patience, rhythm=rhythm, heartbeat=heartbeat)

    def finish(self, fusion_id: str, timeout: float = 240) -> dict:
        """Wait until the fusion has ended and its work folder is gone; return what is known."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            known = self.ledger.read(fusion_id)
            if known["state"] in FINISHED and not (self.work / fusion_id).exists():
                return known
            time.sleep(0.02)
        raise AssertionError(f"not finished after {timeout} s: {self.ledger.read(fusion_id)}")

    def run(self, fusion_id: str) -> dict:
        """Work on the folder until the fusion has ended."""
        worker = self.worker()
        worker.start()
        try:
            return self.finish(fusion_id)
        finally:
            worker.stop()

    def publications(self) -> list[str]:
        log = self.folder / "published.log"
        return log.read_text().split() if log.exists() else []


def main(folder: Path, moment: str) -> None:
    """Run a worker that hangs for ever at the moment, and says in a file that it does."""

    def hang(message: str) -> None:
        if message == moment:
            (folder / "hanging").touch()
            threading.Event().wait()

    CenterFolder(folder).worker(hang).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
