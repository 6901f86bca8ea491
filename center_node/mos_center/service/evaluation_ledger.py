"""What a worker reads and tells about evaluations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import Gone, MosError, NotFound, Unavailable

from mos_center.domain.access import SYSTEM
from mos_center.domain.evaluations import Evaluation, EvaluationPlan, EvaluationState
from mos_center.domain.jobs import Job
from mos_center.domain.lineage import Ingredient
from mos_center.domain.models import Failure, ModelVersion, Progress, StoredFile
from mos_center.domain.ports import BlobStore, Database, Transaction
from mos_center.domain.states import SubmissionState
from mos_center.service.evaluations import job_of, record_evaluation
from mos_center.service.fusion_lookup import find_fusion
from mos_center.service.fusion_plan import plan_of
from mos_center.service.models import check_given_out

log = logging.getLogger(__name__)


class EvaluationLedgerService:
    """Implements `domain.ports.EvaluationLedger`."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def unfinished(self) -> tuple[Job, ...]:
        with self._database.read() as transaction:
            return tuple(job_of(one) for one in transaction.evaluations.unfinished())

    def begin(self, evaluation_id: str) -> EvaluationPlan | None:
        with self._database.write() as transaction:
            evaluation = _unfinished(transaction, evaluation_id)
            if evaluation is None:
                return None
            version, _ = _usable(transaction, evaluation)
            if evaluation.state is EvaluationState.QUEUED:
                evaluation = replace(
                    evaluation, state=EvaluationState.RUNNING, started_at=datetime.now(UTC)
                )
                transaction.evaluations.update(evaluation)
            plan = plan_of(transaction, find_fusion(transaction, version.fusion_id))
            return EvaluationPlan(evaluation, version, plan.base, plan.concepts)

    def progress(self, evaluation_id: str, done: int, total: int, message: str) -> bool:
        with self._database.write() as transaction:
            evaluation = _unfinished(transaction, evaluation_id)
            if evaluation is None:
                return False
            _usable(transaction, evaluation)
            moved = replace(evaluation, progress=Progress(done, total, message))
            transaction.evaluations.update(moved)
        return True

    def done(
        self, evaluation_id: str, result: Mapping[str, object], grids: Mapping[int, StoredFile]
    ) -> None:
        with self._database.write() as transaction:
            evaluation = _unfinished(transaction, evaluation_id)
            if evaluation is None:
                return
            _, ingredients = _usable(transaction, evaluation)
            for number, grid in grids.items():
                submission_id = ingredients[number].submission_id
                transaction.evaluations.add_grid(evaluation_id, number, submission_id, grid)
            # After the references are written, so that nobody deletes a file meanwhile.
            self._check_stored(grids)
            total = evaluation.progress.total
            self._end(
                transaction,
                evaluation,
                replace(
                    evaluation,
                    state=EvaluationState.DONE,
                    progress=Progress(total, total, "done"),
                    result=result,
                ),
            )

    def failed(self, evaluation_id: str, error: MosError) -> None:
        with self._database.write() as transaction:
            evaluation = _unfinished(transaction, evaluation_id)
            if evaluation is not None:
                failure = Failure(error.code, error.message, error.hint)
                failed = replace(evaluation, state=EvaluationState.FAILED, error=failure)
                self._end(transaction, evaluation, failed)

    def _end(self, transaction: Transaction, before: Evaluation, after: Evaluation) -> None:
        ended = replace(after, finished_at=datetime.now(UTC))
        transaction.evaluations.update(ended)
        record_evaluation(transaction, ended, before.state, SYSTEM.name)
        log.info("evaluation.%s id=%s", ended.state.value, ended.id)

    def _check_stored(self, grids: Mapping[int, StoredFile]) -> None:
        lost = [number for number, grid in grids.items() if not self._blobs.exists(grid.sha256)]
        if lost:
            raise Unavailable(
                f"{len(lost)} pictures of the evaluation are not in the store.",
                hint="Put them again, then tell again.",
            )


def _unfinished(transaction: Transaction, evaluation_id: str) -> Evaluation | None:
    evaluation = transaction.evaluations.get(evaluation_id)
    return None if evaluation is None or evaluation.state.is_finished else evaluation


def _usable(
    transaction: Transaction, evaluation: Evaluation
) -> tuple[ModelVersion, tuple[Ingredient, ...]]:
    """The version and what it is made of; raises `Gone` when some of it was taken back."""
    version = transaction.models.get(evaluation.model, evaluation.version)
    if version is None:
        raise NotFound(f"There is no model {evaluation.ref}.")
    check_given_out(version)
    ingredients = transaction.lineage.ingredients(version.fusion_id)
    for item in ingredients:
        if item.state is SubmissionState.WITHDRAWN:
            raise Gone(
                f"{item.ref} was withdrawn meanwhile.", hint="Evaluate a version without it."
            )
    return version, ingredients
