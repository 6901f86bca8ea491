"""The job behind a fusion: a step per block, then publication; see `durable` for what steps are.

Between steps only files are handed over, in the fusion's own work folder, which is removed at the
end however the job ends. The ledger is asked before every step whether somebody cancelled.
"""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path

from mos_protocol.errors import Conflict, JobFailed, MosError, Unavailable
from mos_protocol.manifest import sha256_of
from mos_protocol.names import Digest

from mos_center.domain.models import FusionPlan, PublishedFile
from mos_center.domain.ports import BlobStore, FusionLedger
from mos_center.fusion.block import block_path, fuse_block
from mos_center.fusion.publish import Recipe, write_model
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.sources import BaseSource, ConceptSource, OpenFile
from mos_center.jobs.durable import Steps

log = logging.getLogger(__name__)

_PUBLISH_ATTEMPTS = 3


class FusionJob:
    """Runs fusions that a ledger describes; `work` holds one folder per fusion while it runs."""

    def __init__(self, ledger: FusionLedger, blobs: BlobStore, work: Path) -> None:
        self._ledger = ledger
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
        for number, block in enumerate(plan.base.layer_map.blocks):
            if self._ledger.is_cancelled(fusion_id):
                return
            step(f"fuse {block.name}", partial(self._fuse_block, plan, number))
        if not self._ledger.is_cancelled(fusion_id):
            step("publish", partial(self._publish, plan))

    def _fuse_block(self, plan: FusionPlan, number: int) -> str:
        """Fuse one block into the work folder and return the file's name."""
        blocks = plan.base.layer_map.blocks
        block, total = blocks[number], len(blocks) + 1
        self._ledger.progress(plan.fusion_id, number, total, f"fusing {block.name}")
        folder = self._folder(plan.fusion_id)
        folder.mkdir(parents=True, exist_ok=True)
        recipe = self._recipe(plan)
        return fuse_block(recipe.base, block, recipe.concepts, recipe.settings, folder).name

    def _publish(self, plan: FusionPlan) -> int:
        """Write the model folder, put its files into the store, publish; return the version."""
        total = len(plan.base.layer_map.blocks) + 1
        folder, recipe = self._folder(plan.fusion_id), self._recipe(plan)
        for block in recipe.base.layer_map.blocks:
            # Steps that returned are not run again, even when their files were lost.
            if not block_path(folder, block.name).is_file():
                folder.mkdir(parents=True, exist_ok=True)
                fuse_block(recipe.base, block, recipe.concepts, recipe.settings, folder)
        self._ledger.progress(plan.fusion_id, total - 1, total, "writing the model")
        report = write_model(recipe, folder, folder / "model")
        self._ledger.progress(plan.fusion_id, total - 1, total, "storing the model")
        for attempt in range(1, _PUBLISH_ATTEMPTS + 1):
            files = self._store(folder / "model")
            try:
                return self._ledger.publish(plan.fusion_id, files, report)
            except Unavailable:
                if attempt == _PUBLISH_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

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
        concepts = [
            ConceptSource(
                ref=concept.ref,
                weight=concept.weight,
                manifest=concept.manifest,
                files={path: self._blob(digest) for path, digest in concept.files.items()},
            )
            for concept in plan.concepts
        ]
        settings = FusionSettings(Solver(plan.solver), plan.ridge or {}, plan.prior_weight)
        return Recipe(base, concepts, settings)

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
