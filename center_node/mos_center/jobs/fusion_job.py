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

from mos_protocol.errors import Conflict, MosError, Unavailable
from mos_protocol.manifest import sha256_of

from mos_center.domain.fusion_events import PlannedStep
from mos_center.domain.jobs import Job, fusion_of
from mos_center.domain.models import FusionPlan, PublishedFile
from mos_center.domain.policy import Previews
from mos_center.domain.ports import BlobStore, FusionLedger
from mos_center.domain.request_context import request_id
from mos_center.fusion.previews import is_wanted, write_previews
from mos_center.fusion.publish import write_model
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.steps import Step, fused_blocks, fusion_steps
from mos_center.fusion.sums_cache import SumsCache
from mos_center.jobs.durable import Steps
from mos_center.jobs.endings import unexpected
from mos_center.jobs.patience import Interrupted, Patience, Superseded
from mos_center.jobs.recipes import recipe_of
from mos_center.jobs.telling import Telling
from mos_center.telemetry.metrics import JOBS, job_step

log = logging.getLogger(__name__)

_PUBLISH_ATTEMPTS = 3
_WRITING = "writing the model"
_SAMPLING = "sampling previews"
_STORING = "storing the model"


@dataclass(frozen=True)
class _Run:
    """One worker's attempt at a fusion; `samples` says whether with previews."""

    plan: FusionPlan
    attempt: int
    tell: Telling
    samples: bool

    @property
    def fusion_id(self) -> str:
        return self.plan.fusion_id


class FusionJob:
    """Runs fusions that a ledger describes; `work` holds one folder per fusion while it runs.

    sums: where sums of earlier fusions are kept, so that the next one reads what is new only.
    patience: how long to wait for a ledger that is away. executor: the name of the worker.
    previews: whether fused models are sampled, of requests that don't say.
    """

    def __init__(
        self,
        ledger: FusionLedger,
        blobs: BlobStore,
        work: Path,
        sums: SumsCache | None = None,
        patience: Patience | None = None,
        *,
        executor: str = "",
        previews: Previews = Previews.AUTO,
    ) -> None:
        self._ledger = ledger
        self._sums = sums
        self._blobs = blobs
        self._work = work
        self._patience = patience or Patience()
        self._executor = executor
        self._previews = previews

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
        attempt = self._patience(partial(self._ledger.begin, job_id, executor=self._executor))
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
            self._fail(fusion_id, attempt, unexpected("fusion", fusion_id, error))

    def _fuse(self, fusion_id: str, attempt: int, step: Steps) -> None:
        if self._is_cancelled(fusion_id):
            return
        step("start", partial(self._ledger.started, fusion_id))
        plan = self._patience(partial(self._ledger.plan, fusion_id))
        tell = Telling(self._ledger, self._patience, fusion_id, attempt)
        samples = is_wanted(plan.previews, self._previews, self._recipe(plan).base)
        run, steps = _Run(plan, attempt, tell, samples), self._steps(plan)
        tell.planned([PlannedStep(part.name, part.block) for part in steps] + _last_steps(samples))
        for number, part in enumerate(steps):
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
        part = steps[number]
        run.tell.begins(number, len(steps) + 1, part.name)
        self._make_up(steps[:number])
        # The names of later rounds' steps say more than a metric may.
        with run.tell.measured(part.name, metric=part.name.partition(" ")[0]) as finding:
            part.run()
            finding.update(part.finding())

    def _publish(self, run: _Run) -> int:
        """Write the model folder, put its files into the store, publish; return the version."""
        folder, recipe = self._folder(run.fusion_id), self._recipe(run.plan)
        steps, blocks = self._steps(run.plan), fused_blocks(recipe, folder)
        model, done = folder / "model", len(steps)
        self._make_up(steps)
        run.tell.begins(done, done + 1, _WRITING)
        with run.tell.measured(_WRITING):
            report = write_model(recipe, blocks, model)
        if run.samples:
            run.tell.begins(done, done + 1, _SAMPLING)
            with run.tell.measured(_SAMPLING) as finding:
                finding.update(_sampled(run.fusion_id, recipe, blocks, model))
        run.tell.begins(done, done + 1, _STORING)
        # Its end is the publication.
        with job_step(_STORING):
            return self._put(run, model, report)

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
        return recipe_of(plan, self._ledger, self._blobs)

    def _fail(self, fusion_id: str, attempt: int, error: MosError) -> None:
        if isinstance(error, Conflict) and self._is_cancelled(fusion_id):
            return
        self._patience(partial(self._ledger.failed, fusion_id, error, attempt=attempt))
        JOBS.labels("failed").inc()

    def _folder(self, fusion_id: str) -> Path:
        return self._work / fusion_id

    def _clear(self, fusion_id: str) -> None:
        shutil.rmtree(self._folder(fusion_id), ignore_errors=True)


def _last_steps(samples: bool) -> list[PlannedStep]:
    """What comes after the blocks."""
    names = [_WRITING, _SAMPLING, _STORING] if samples else [_WRITING, _STORING]
    return [PlannedStep(name) for name in names]


def _sampled(fusion_id: str, recipe: Recipe, blocks: Sequence[Path], model: Path) -> dict[str, str]:
    """Add previews, and find why that can't be: the model is complete without them."""
    try:
        write_previews(recipe, blocks, model)
    except MosError as error:
        log.warning("fusion.unsampled id=%s", fusion_id, exc_info=True)
        return {"unsampled": error.message}
    return {}
