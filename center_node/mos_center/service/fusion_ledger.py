"""What a worker reads and tells about fusions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import InvalidRequest, MosError, NotFound, Unavailable
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

from mos_center.domain.models import (
    Failure,
    Fusion,
    FusionConcept,
    FusionPlan,
    ModelVersion,
    PlannedConcept,
    Progress,
    PublishedFile,
    VersionConcept,
)
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.domain.states import (
    UNFINISHED,
    FusionState,
    check_fusion_transition,
    is_finished,
)
from mos_center.service.fusions import find_fusion
from mos_center.service.submissions import find_submission

log = logging.getLogger(__name__)


class FusionLedgerService:
    """Implements `domain.ports.FusionLedger`."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def unfinished(self) -> tuple[str, ...]:
        with self._database.read() as transaction:
            return transaction.fusions.with_states(UNFINISHED)

    def plan(self, fusion_id: str) -> FusionPlan:
        with self._database.read() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            base = transaction.bases.get(fusion.base)
            if base is None:
                raise NotFound(f"The base {fusion.base!r} is not registered any more.")
            concepts = tuple(_planned(transaction, concept) for concept in fusion.concepts)
        return FusionPlan(
            fusion_id=fusion.id,
            model=fusion.model,
            base=base,
            concepts=concepts,
            solver=fusion.solver.value,
            prior_weight=fusion.prior_weight,
            ridge=None if fusion.ridge is None else dict(fusion.ridge),
            lbfgs_steps=None if fusion.lbfgs_steps is None else dict(fusion.lbfgs_steps),
            refine_rounds=fusion.refine_rounds,
            exports=fusion.exports,
            build=fusion.build,
        )

    def package(self, manifest: Digest) -> PlannedConcept | None:
        with self._database.read() as transaction:
            submission = transaction.submissions.by_manifest(manifest)
            if submission is None or submission.version is None:
                return None
            files = transaction.submissions.files(submission.id)
        # Rejected packages keep their row without files.
        if not files or not all(self._blobs.exists(digest) for digest in files.values()):
            return None
        ref = f"{submission.concept}@{submission.version}"
        return PlannedConcept(ref, PartWeights(), submission.manifest, files)

    def started(self, fusion_id: str) -> None:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if fusion.state is not FusionState.RUNNING:
                check_fusion_transition(fusion.state, FusionState.RUNNING)
                transaction.fusions.update(replace(fusion, state=FusionState.RUNNING))

    def progress(self, fusion_id: str, done: int, total: int, message: str) -> None:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if fusion.state is FusionState.RUNNING:
                moved = replace(fusion, progress=Progress(done, total, message))
                transaction.fusions.update(moved)

    def is_cancelled(self, fusion_id: str) -> bool:
        with self._database.read() as transaction:
            return find_fusion(transaction, fusion_id).state is FusionState.CANCELLED

    def publish(
        self, fusion_id: str, files: Sequence[PublishedFile], report: dict[str, object]
    ) -> int:
        if not files:
            raise InvalidRequest(f"Fusion {fusion_id} has no files to publish.")
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if fusion.model_version is not None:
                return fusion.model_version
            check_fusion_transition(fusion.state, FusionState.PUBLISHED)
            version = 1 + transaction.models.last_version(fusion.model)
            published = _version(transaction, fusion, version, files)
            transaction.models.add(published, report)
            # After the references are written, so that nobody deletes a file meanwhile.
            self._check_stored(files)
            transaction.fusions.update(
                replace(
                    fusion,
                    state=FusionState.PUBLISHED,
                    progress=Progress(fusion.progress.total, fusion.progress.total, "published"),
                    model_version=version,
                    finished_at=published.created_at,
                )
            )
        log.info("fusion.published id=%s model=%s version=%d", fusion_id, fusion.model, version)
        return version

    def failed(self, fusion_id: str, error: MosError) -> None:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if is_finished(fusion.state):
                return
            transaction.fusions.update(
                replace(
                    fusion,
                    state=FusionState.FAILED,
                    error=Failure(error.code, error.message, error.hint),
                    finished_at=datetime.now(UTC),
                )
            )
        log.info("fusion.failed id=%s code=%s", fusion_id, error.code)

    def _check_stored(self, files: Sequence[PublishedFile]) -> None:
        lost = [file.path for file in files if not self._blobs.exists(file.sha256)]
        if lost:
            raise Unavailable(
                f"{len(lost)} files to be published are not in the store, first {lost[0]}.",
                hint="Put the files again, then publish again.",
            )


def _planned(transaction: Transaction, concept: FusionConcept) -> PlannedConcept:
    manifest = find_submission(transaction, concept.submission_id).manifest
    return PlannedConcept(
        ref=concept.ref,
        weights=concept.weights,
        manifest=manifest,
        files=transaction.submissions.files(concept.submission_id),
    )


def _version(
    transaction: Transaction, fusion: Fusion, version: int, files: Sequence[PublishedFile]
) -> ModelVersion:
    base = transaction.bases.get(fusion.base)
    if base is None:
        raise NotFound(f"The base {fusion.base!r} is not registered any more.")
    return ModelVersion(
        model=fusion.model,
        version=version,
        aliases=(),
        base=base.name,
        base_digest=base.digest,
        concepts=tuple(
            VersionConcept(
                concept.name,
                concept.version,
                concept.weights,
                find_submission(transaction, concept.submission_id).manifest.words,
            )
            for concept in fusion.concepts
        ),
        solver=fusion.solver,
        fusion_id=fusion.id,
        build=fusion.build,
        created_at=datetime.now(UTC),
        files=tuple(files),
    )
