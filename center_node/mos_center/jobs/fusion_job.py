"""The job behind a fusion: its steps, then publication; see `durable` for what steps are.

Between steps only files are handed over, in the fusion's own work folder, which is removed at the
end however the job ends. The ledger is asked before every step whether somebody cancelled. What
another worker did before is made up again where it is needed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mos_protocol.errors import Conflict, JobFailed, MosError, Unavailable
from mos_protocol.manifest import sha256_of
from mos_protocol.names import Digest

from mos_center.domain.jobs import Job, fusion_of
from mos_center.domain.models import FusionPlan, PlannedConcept, PublishedFile
from mos_center.domain.ports import BlobStore, FusionLedger
from mos_center.domain.request_context import request_id
from mos_center.fusion.publish import write_model
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.sources import BaseSource, ConceptSource, OpenFile
from mos_center.fusion.steps import Step, fused_blocks, fusion_steps
from mos_center.fusion.sums_cache import SumsCache
from mos_center.jobs.durable import Steps
from mos_center.jobs.patience import Interrupted, Patience, Superseded
from mos_center.telemetry.metrics import JOBS, job_step

log = logging.getLogger(__name__)

_PUBLISH_ATTEMPTS = 3


@dataclass(frozen=True)
class _Run:
    """One worker's attempt at a fusion."""

    plan: FusionPlan
    attempt: int

    @property
    def fusion_id(self) -> str:
        return self.plan.fusion_id


class FusionJob:
    """Runs fusions that a ledger describes; `work` holds one folder per fusion while it runs.

    sums: where sums of earlier fusions are kept, so that the next one reads what is new only.
    patience: how long to wait for a ledger that is away.
    """

    def __init__(
        self,
        ledger: FusionLedger,
        blobs: BlobStore,
        work: Path,
        sums: SumsCache | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._ledger = ledger
        self._sums = sums
        self._blobs = blobs
        self._work = work
        self._patience = patience or Patience()

    def unfinished(self) -> tuple[Job, ...]:
        """The jobs that are to be done, as the ledger says."""
        return self._ledger.unfinished()

    def lost(self, job_id: str, *, killed: bool) -> bool:
        """Tell the ledger that a job ended without a result: never to be run again."""
        self._ledger.lost(job_id)
        return False

    def tidy(self) -> None:
        """Remove what this worker left behind of fusions that ended without it."""
        wanted = {fusion_of(job.id)[0] for job in self._ledger.unfinished()}
        for folder in self._work.iterdir() if self._work.is_dir() else ():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def run(self, job_id: str, step: Steps) -> None:
        """Fuse and publish, or tell the ledger why not."""
        fusion_id, _ = fusion_of(job_id)
        attempt = self._patience(partial(self._ledger.begin, job_id))
        if attempt is not None:
            asked = request_id.set(attempt.request_id)
            try:
                self._attempt(fusion_id, attempt.number, step)
            except Superseded:
                self._clear(fusion_id)
                raise
            except Interrupted:
                with suppress(MosError):
                    self._ledger.paused(fusion_id, attempt.number)
                raise
            finally:
                request_id.reset(asked)
        self._clear(fusion_id)

    def _attempt(self, fusion_id: str, attempt: int, step: Steps) -> None:
        try:
            self._fuse(fusion_id, attempt, step)
        except MosError as error:
            self._fail(fusion_id, attempt, error)
        except Exception as error:
            log.exception("fusion.crashed id=%s", fusion_id)
            self._fail(fusion_id, attempt, _unexpected(fusion_id, error))

    def _fuse(self, fusion_id: str, attempt: int, step: Steps) -> None:
        if self._is_cancelled(fusion_id):
            return
        step("start", partial(self._ledger.started, fusion_id))
        run = _Run(self._patience(partial(self._ledger.plan, fusion_id)), attempt)
        for number, part in enumerate(self._steps(run.plan)):
            if self._is_cancelled(fusion_id):
                return
            step(part.name, partial(self._run, run, number))
        if not self._is_cancelled(fusion_id):
            step("publish", partial(self._publish, run))

    def _is_cancelled(self, fusion_id: str) -> bool:
        return self._patience(partial(self._ledger.is_cancelled, fusion_id))

    def _run(self, run: _Run, number: int) -> None:
        """Run one step of the fusion, whose files stay in the work folder."""
        steps = self._steps(run.plan)
        self._tell(run, number, len(steps) + 1, steps[number].name)
        self._make_up(steps[:number])
        # The names of later rounds' steps say more than a metric may.
        with job_step(steps[number].name.partition(" ")[0]):
            steps[number].run()

    def _publish(self, run: _Run) -> int:
        """Write the model folder, put its files into the store, publish; return the version."""
        folder, recipe = self._folder(run.fusion_id), self._recipe(run.plan)
        steps = self._steps(run.plan)
        total = len(steps) + 1
        self._make_up(steps)
        self._tell(run, total - 1, total, "writing the model")
        with job_step("writing the model"):
            report = write_model(recipe, fused_blocks(recipe, folder), folder / "model")
        self._tell(run, total - 1, total, "storing the model")
        with job_step("storing the model"):
            return self._put(run, folder / "model", report)

    def _put(self, run: _Run, model: Path, report: dict[str, object]) -> int:
        for number in range(1, _PUBLISH_ATTEMPTS + 1):
            files = self._store(model)
            try:
                version = self._ledger.publish(run.fusion_id, files, report, attempt=run.attempt)
                JOBS.labels("published").inc()
                return version
            except Unavailable:
                if number == _PUBLISH_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _tell(self, run: _Run, done: int, total: int, message: str) -> None:
        """Tell how far it is; raises `Superseded` when the fusion is another worker's now."""
        counts = self._ledger.progress(run.fusion_id, done, total, message, attempt=run.attempt)
        if not counts and not self._ledger.is_cancelled(run.fusion_id):
            raise Superseded

    def _make_up(self, steps: Sequence[Step]) -> None:
        """Run again what was done but lost: steps that returned are not run again by themselves."""
        for part in steps:
            if not part.is_done():
                part.run()

    def _steps(self, plan: FusionPlan) -> list[Step]:
        return fusion_steps(self._recipe(plan), self._folder(plan.fusion_id), self._sums)

    def _store(self, model: Path) -> list[PublishedFile]:
        """Put every file of the model folder into the store."""
        files = []
        for path in sorted(path for path in model.rglob("*") if path.is_file()):
            digest = sha256_of(path)
            self._blobs.put_file(path, digest)
            name = path.relative_to(model).as_posix()
            files.append(PublishedFile(name, path.stat().st_size, digest))
        return files

    def _recipe(self, plan: FusionPlan) -> Recipe:
        base = BaseSource(
            name=plan.base.name,
            folder=plan.base.path,
            layer_map=plan.base.layer_map,
            prior={block: self._blob(digest) for block, digest in plan.base.prior.items()},
        )
        settings = FusionSettings(
            solver=Solver(plan.solver),
            ridge=plan.ridge or {},
            prior_weight=plan.prior_weight,
            lbfgs_steps=plan.lbfgs_steps or {},
            refine_rounds=plan.refine_rounds,
        )
        return Recipe(
            base,
            [self._source(concept) for concept in plan.concepts],
            settings,
            plan.exports,
            self._at_hand,
        )

    def _at_hand(self, digest: Digest) -> ConceptSource | None:
        """A package that is not in the fusion, if all its files are still in the store."""
        concept = self._ledger.package(digest)
        return None if concept is None else self._source(concept)

    def _source(self, concept: PlannedConcept) -> ConceptSource:
        return ConceptSource(
            ref=concept.ref,
            weights=concept.weights,
            manifest=concept.manifest,
            files={path: self._blob(digest) for path, digest in concept.files.items()},
        )

    def _blob(self, digest: Digest) -> OpenFile:
        return partial(self._blobs.local_path, digest)

    def _fail(self, fusion_id: str, attempt: int, error: MosError) -> None:
        if isinstance(error, Conflict) and self._is_cancelled(fusion_id):
            return
        self._patience(partial(self._ledger.failed, fusion_id, error, attempt=attempt))
        JOBS.labels("failed").inc()

    def _folder(self, fusion_id: str) -> Path:
        return self._work / fusion_id

    def _clear(self, fusion_id: str) -> None:
        shutil.rmtree(self._folder(fusion_id), ignore_errors=True)


def _unexpected(fusion_id: str, error: Exception) -> JobFailed:
    return JobFailed(
        f"The fusion stopped at an unexpected {type(error).__name__}.",
        hint=f"The center's log has the details under the fusion's id, {fusion_id}.",
    )
