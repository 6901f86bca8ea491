"""The job behind a fusion: its steps, then publication; see `durable` for what steps are.

Between steps only files are handed over, in the fusion's own work folder, which is removed at the
end however the job ends. The ledger is asked before every step whether somebody cancelled.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mos_protocol.errors import Conflict, JobFailed, MosError, Unavailable
from mos_protocol.manifest import sha256_of
from mos_protocol.names import Digest

from mos_center.domain.models import FusionPlan, PlannedConcept, PublishedFile
from mos_center.domain.ports import BlobStore, FusionLedger
from mos_center.fusion.publish import write_model
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.sources import BaseSource, ConceptSource, OpenFile
from mos_center.fusion.steps import Step, fused_blocks, fusion_steps
from mos_center.fusion.sums_cache import SumsCache
from mos_center.jobs.durable import Steps

log = logging.getLogger(__name__)

_PUBLISH_ATTEMPTS = 3


class FusionJob:
    """Runs fusions that a ledger describes; `work` holds one folder per fusion while it runs.

    sums: where sums of earlier fusions are kept, so that the next one reads what is new only.
    """

    def __init__(
        self, ledger: FusionLedger, blobs: BlobStore, work: Path, sums: SumsCache | None = None
    ) -> None:
        self._ledger = ledger
        self._sums = sums
        self._blobs = blobs
        self._work = work

    def run(self, fusion_id: str, step: Steps) -> None:
        """Fuse and publish, or tell the ledger why not."""
        try:
            self._fuse(fusion_id, step)
        except MosError as error:
            self._fail(fusion_id, error)
        except Exception as error:
            log.exception("fusion.crashed id=%s", fusion_id)
            self._fail(fusion_id, _unexpected(fusion_id, error))
        self._clear(fusion_id)

    def _fuse(self, fusion_id: str, step: Steps) -> None:
        if self._ledger.is_cancelled(fusion_id):
            return
        step("start", partial(self._ledger.started, fusion_id))
        plan = self._ledger.plan(fusion_id)
        for number, part in enumerate(self._steps(plan)):
            if self._ledger.is_cancelled(fusion_id):
                return
            step(part.name, partial(self._run, plan, number))
        if not self._ledger.is_cancelled(fusion_id):
            step("publish", partial(self._publish, plan))

    def _run(self, plan: FusionPlan, number: int) -> None:
        """Run one step of the fusion, whose files stay in the work folder."""
        steps = self._steps(plan)
        self._ledger.progress(plan.fusion_id, number, len(steps) + 1, steps[number].name)
        self._make_up(steps[:number])
        steps[number].run()

    def _publish(self, plan: FusionPlan) -> int:
        """Write the model folder, put its files into the store, publish; return the version."""
        folder, recipe = self._folder(plan.fusion_id), self._recipe(plan)
        steps = self._steps(plan)
        total = len(steps) + 1
        self._make_up(steps)
        self._ledger.progress(plan.fusion_id, total - 1, total, "writing the model")
        report = write_model(recipe, fused_blocks(recipe, folder), folder / "model")
        self._ledger.progress(plan.fusion_id, total - 1, total, "storing the model")
        for attempt in range(1, _PUBLISH_ATTEMPTS + 1):
            files = self._store(folder / "model")
            try:
                return self._ledger.publish(plan.fusion_id, files, report)
            except Unavailable:
                if attempt == _PUBLISH_ATTEMPTS:
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

    def _fail(self, fusion_id: str, error: MosError) -> None:
        if isinstance(error, Conflict) and self._ledger.is_cancelled(fusion_id):
            return
        self._ledger.failed(fusion_id, error)

    def _folder(self, fusion_id: str) -> Path:
        return self._work / fusion_id

    def _clear(self, fusion_id: str) -> None:
        shutil.rmtree(self._folder(fusion_id), ignore_errors=True)


def _unexpected(fusion_id: str, error: Exception) -> JobFailed:
    return JobFailed(
        f"The fusion stopped at an unexpected {type(error).__name__}.",
        hint=f"The center's log has the details under the fusion's id, {fusion_id}.",
    )
