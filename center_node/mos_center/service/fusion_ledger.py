"""What a worker reads and tells about fusions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, InvalidRequest, JobFailed, MosError, Unavailable
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

from mos_center.domain.access import SYSTEM
from mos_center.domain.events import Event, EventKind
from mos_center.domain.fusion_events import FusionEventKind, PlannedStep
from mos_center.domain.jobs import Attempt, Job, fusion_of
from mos_center.domain.models import (
    Failure,
    Fusion,
    FusionPlan,
    PlannedConcept,
    Progress,
    PublishedFile,
)
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.domain.states import (
    UNFINISHED,
    FusionState,
    check_fusion_transition,
    is_finished,
)
from mos_center.service.fusion_lookup import find_fusion, record_fusion
from mos_center.service.fusion_plan import next_version, plan_of

log = logging.getLogger(__name__)

MAX_DEATHS = 3
_LOST = JobFailed("The fusion's job was lost.", hint="Retry it.")


class FusionLedgerService:
    """Implements `domain.ports.FusionLedger`."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def unfinished(self) -> tuple[Job, ...]:
        with self._database.read() as transaction:
            return transaction.fusions.jobs(UNFINISHED)

    def begin(self, job_id: str, *, executor: str = "") -> Attempt | None:
        with self._database.write() as transaction:
            fusion = _fusion_of(transaction, job_id)
            if fusion is None or is_finished(fusion.state):
                return None
            if fusion.deaths >= MAX_DEATHS:
                self._fail(transaction, fusion, _given_up(fusion))
                return None
            begun = replace(fusion, attempts=fusion.attempts + 1, deaths=fusion.deaths + 1)
            transaction.fusions.update(begun)
            data = {"executor": executor} if executor else None
            transaction.fusion_events.add(begun, FusionEventKind.BEGUN, data=data)
        log.info("fusion.begun id=%s attempt=%d", begun.id, begun.attempts)
        return Attempt(begun.attempts, begun.request_id)

    def paused(self, fusion_id: str, attempt: int) -> None:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if fusion.attempts == attempt and not is_finished(fusion.state):
                transaction.fusions.update(replace(fusion, deaths=max(0, fusion.deaths - 1)))
                transaction.fusion_events.add(fusion, FusionEventKind.PAUSED)

    def plan(self, fusion_id: str) -> FusionPlan:
        with self._database.read() as transaction:
            return plan_of(transaction, find_fusion(transaction, fusion_id))

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
                started = fusion.started_at or datetime.now(UTC)
                running = replace(fusion, state=FusionState.RUNNING, started_at=started)
                transaction.fusions.update(running)

    def planned(self, fusion_id: str, steps: Sequence[PlannedStep], *, attempt: int) -> None:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if _counts(fusion, attempt):
                data = {"steps": [asdict(step) for step in steps]}
                transaction.fusion_events.add(fusion, FusionEventKind.PLANNED, data=data)

    def progress(
        self, fusion_id: str, done: int, total: int, message: str, *, attempt: int | None = None
    ) -> bool:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            counts = _counts(fusion, attempt)
            if counts:
                # Only what ends its worker again and again at the same step is given up.
                deaths = min(fusion.deaths, 1) if done > fusion.progress.done else fusion.deaths
                moved = replace(fusion, progress=Progress(done, total, message), deaths=deaths)
                transaction.fusions.update(moved)
                transaction.fusion_events.add(fusion, FusionEventKind.STEP_STARTED, message)
        return counts

    def step_done(
        self,
        fusion_id: str,
        step: str,
        seconds: float,
        finding: Mapping[str, object] | None = None,
        *,
        attempt: int,
    ) -> None:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if _counts(fusion, attempt):
                told = None if finding is None else dict(finding)
                data = {"seconds": round(seconds, 3), "finding": told}
                transaction.fusion_events.add(fusion, FusionEventKind.STEP_DONE, step, data)

    def is_cancelled(self, fusion_id: str) -> bool:
        with self._database.read() as transaction:
            return find_fusion(transaction, fusion_id).state is FusionState.CANCELLED

    def publish(
        self,
        fusion_id: str,
        files: Sequence[PublishedFile],
        report: dict[str, object],
        *,
        attempt: int | None = None,
    ) -> int:
        if not files:
            raise InvalidRequest(f"Fusion {fusion_id} has no files to publish.")
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if fusion.model_version is not None:
                return fusion.model_version
            check_fusion_transition(fusion.state, FusionState.PUBLISHED)
            if not _is_current(fusion, attempt):
                raise Conflict(
                    f"Fusion {fusion_id} was given to another worker.",
                    hint="That one publishes it.",
                )
            published = next_version(transaction, fusion, files)
            transaction.models.add(published, report)
            # After the references are written, so that nobody deletes a file meanwhile.
            self._check_stored(files)
            done = replace(
                fusion,
                state=FusionState.PUBLISHED,
                progress=Progress(fusion.progress.total, fusion.progress.total, "published"),
                model_version=published.version,
                finished_at=published.created_at,
            )
            _settle(transaction, fusion, done, EventKind.MODEL_PUBLISHED)
        version = published.version
        log.info("fusion.published id=%s model=%s version=%d", fusion_id, fusion.model, version)
        return version

    def failed(self, fusion_id: str, error: MosError, *, attempt: int | None = None) -> None:
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if not is_finished(fusion.state) and _is_current(fusion, attempt):
                self._fail(transaction, fusion, error)

    def lost(self, job_id: str) -> None:
        with self._database.write() as transaction:
            fusion = _fusion_of(transaction, job_id)
            if fusion is not None and not is_finished(fusion.state):
                self._fail(transaction, fusion, _LOST)

    def _fail(self, transaction: Transaction, fusion: Fusion, error: MosError) -> None:
        done = replace(
            fusion,
            state=FusionState.FAILED,
            error=Failure(error.code, error.message, error.hint),
            finished_at=datetime.now(UTC),
        )
        _settle(transaction, fusion, done, EventKind.FUSION_FAILED)
        log.info("fusion.failed id=%s code=%s", fusion.id, error.code)

    def _check_stored(self, files: Sequence[PublishedFile]) -> None:
        lost = [file.path for file in files if not self._blobs.exists(file.sha256)]
        if lost:
            raise Unavailable(
                f"{len(lost)} files to be published are not in the store, first {lost[0]}.",
                hint="Put the files again, then publish again.",
            )


def _fusion_of(transaction: Transaction, job_id: str) -> Fusion | None:
    """The fusion whose job this is; None when it has been given another job since."""
    fusion_id, generation = fusion_of(job_id)
    fusion = transaction.fusions.get(fusion_id)
    return fusion if fusion is not None and fusion.generation == generation else None


def _counts(fusion: Fusion, attempt: int | None) -> bool:
    """Whether what this attempt tells of its work is to be written down."""
    return fusion.state is FusionState.RUNNING and _is_current(fusion, attempt)


def _is_current(fusion: Fusion, attempt: int | None) -> bool:
    return attempt is None or attempt == fusion.attempts


def _given_up(fusion: Fusion) -> JobFailed:
    step = fusion.progress.message or "its start"
    return JobFailed(
        f"Its worker died {fusion.deaths} times at {step!r}.",
        hint="See the workers' log, for example for lack of memory; retry it when that is mended.",
    )


def _settle(transaction: Transaction, before: Fusion, after: Fusion, kind: EventKind) -> None:
    """Write how the fusion ended, and tell subscribers."""
    transaction.fusions.update(after)
    record_fusion(transaction, after, before.state, SYSTEM)
    data = {
        "fusion": after.id,
        "model": after.model,
        "version": after.model_version,
        "concepts": [concept.ref for concept in after.concepts],
        "error": None if after.error is None else asdict(after.error),
    }
    transaction.outbox.add(Event(kind, f"fusion/{after.id}", data))
