"""Evaluations of published versions: asking for one, seeing what came of it, cancelling it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, Gone, NotFound, PermissionDenied, QuotaExceeded

from mos_center.domain.access import Caller
from mos_center.domain.evaluations import (
    Evaluation,
    EvaluationRequest,
    EvaluationRules,
    EvaluationState,
)
from mos_center.domain.events import AuditEvent
from mos_center.domain.ids import new_id
from mos_center.domain.jobs import EVALUATION, Job, other_job
from mos_center.domain.models import ModelVersion, Priority, StoredFile
from mos_center.domain.ports import Database, FusionQueue, Transaction
from mos_center.domain.request_context import request_id
from mos_center.domain.states import SubmissionState
from mos_center.service.models import check_given_out, find_version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VersionEvaluations:
    """What a version's page shows: its newest evaluation, and the newest that is done."""

    newest: Evaluation | None
    done: Evaluation | None


class EvaluationService:
    """The use cases around an evaluation, but for the work itself."""

    def __init__(self, database: Database, queue: FusionQueue, rules: EvaluationRules) -> None:
        self._database = database
        self._queue = queue
        self._rules = rules

    @property
    def is_on(self) -> bool:
        """Whether this center evaluates."""
        return self._rules.is_on

    def request(
        self, model: str, revision: str, wanted: EvaluationRequest, *, caller: Caller
    ) -> tuple[Evaluation, bool]:
        """Return the version's evaluation that is under way, and whether this request made it.

        Whoever may fuse all its concepts may ask. Raises `Conflict` where the center evaluates
        nothing, and while the version is evaluated otherwise; `NotFound`, `Gone`,
        `PermissionDenied`, `QuotaExceeded`.
        """
        self._rules.check_on()
        wanted.check()
        with self._database.write() as transaction:
            version = find_version(transaction, model, revision, caller)
            check_given_out(version)
            _check_concepts(transaction, version, caller)
            evaluation, made = self._find_or_add(transaction, version, wanted, caller)
        if evaluation.state is EvaluationState.QUEUED:
            # Also when it was known: the process may have died between the two.
            self._queue.enqueue(job_of(evaluation.id))
        log.info("evaluation.requested id=%s made=%s by=%s", evaluation.id, made, caller.name)
        return evaluation, made

    def get(self, evaluation_id: str, *, caller: Caller) -> Evaluation:
        """The evaluation; raises `NotFound`, also when the caller may not read its version."""
        with self._database.read() as transaction:
            return _readable(transaction, evaluation_id, caller)[0]

    def of_version(
        self, model: str, revision: str, *, caller: Caller, before: str | None = None, limit: int
    ) -> tuple[Evaluation, ...]:
        """The version's evaluations without their results, newest first; raises `NotFound`."""
        with self._database.read() as transaction:
            version = find_version(transaction, model, revision, caller)
            return transaction.evaluations.of_version(
                version.model, version.version, before=before, limit=limit
            )

    def shown(self, model: str, revision: str, *, caller: Caller) -> VersionEvaluations:
        """What the version's page shows; raises `NotFound`."""
        with self._database.read() as transaction:
            version = find_version(transaction, model, revision, caller)
            key = (version.model, version.version)
            newest = transaction.evaluations.newest(*key)
            if newest is None or newest.state is EvaluationState.DONE:
                return VersionEvaluations(newest, newest)
            done = transaction.evaluations.newest(*key, EvaluationState.DONE)
            return VersionEvaluations(newest, done)

    def grid(self, evaluation_id: str, number: int, *, caller: Caller) -> StoredFile:
        """The picture of the concept at this place of the version.

        It shows the concept's own model too: only to those who may see the concept. Raises
        `NotFound`, and `Gone` when the version is tombstoned or the concept withdrawn.
        """
        with self._database.read() as transaction:
            evaluation, version = _readable(transaction, evaluation_id, caller)
            check_given_out(version)
            ingredients = transaction.lineage.ingredients(version.fusion_id, viewer=caller.viewer)
        grid = (evaluation.grids or {}).get(number)
        concept = ingredients[number] if 0 <= number < len(ingredients) else None
        if concept is not None and concept.is_listed and concept.state is SubmissionState.WITHDRAWN:
            raise Gone(f"{concept.ref} was withdrawn, and its pictures with it.")
        if grid is None or concept is None or not concept.is_listed:
            raise NotFound(
                f"Evaluation {evaluation_id} has no picture {number}.",
                hint="One that is done has one per concept, from 0.",
            )
        return grid

    def cancel(self, evaluation_id: str, *, caller: Caller) -> Evaluation:
        """Cancel it; takes effect after the pictures that are being made.

        Again is fine. Raises `NotFound`, `PermissionDenied` for others than who asked and curators,
        and `Conflict` when it is finished.
        """
        with self._database.write() as transaction:
            evaluation, _ = _readable(transaction, evaluation_id, caller)
            if caller.viewer not in (None, evaluation.requested_by):
                raise PermissionDenied(
                    f"Evaluation {evaluation.id} was requested by {evaluation.requested_by}.",
                    hint="Ask them, or a curator.",
                )
            if evaluation.state is EvaluationState.CANCELLED:
                return evaluation
            evaluation.check_unfinished()
            cancelled = replace(
                evaluation, state=EvaluationState.CANCELLED, finished_at=datetime.now(UTC)
            )
            transaction.evaluations.update(cancelled)
            record_evaluation(transaction, cancelled, evaluation.state, caller.name)
        return cancelled

    def _find_or_add(
        self,
        transaction: Transaction,
        version: ModelVersion,
        wanted: EvaluationRequest,
        caller: Caller,
    ) -> tuple[Evaluation, bool]:
        under_way = transaction.evaluations.newest(
            version.model, version.version, EvaluationState.QUEUED, EvaluationState.RUNNING
        )
        if under_way is not None:
            if under_way.request == wanted:
                return under_way, False
            raise Conflict(
                f"{under_way.ref} is being evaluated with other prompts or seeds.",
                hint="Wait until that is done, or cancel it.",
                evaluation=under_way.id,
            )
        self._check_waiting(transaction, caller)
        evaluation = Evaluation(
            id=new_id(),
            model=version.model,
            version=version.version,
            request=wanted,
            state=EvaluationState.QUEUED,
            requested_by=caller.name,
            created_at=datetime.now(UTC),
            request_id=request_id.get(),
        )
        transaction.evaluations.add(evaluation)
        record_evaluation(transaction, evaluation, None, caller.name)
        return evaluation, True

    def _check_waiting(self, transaction: Transaction, caller: Caller) -> None:
        waiting, most = transaction.evaluations.waiting(caller.name), self._rules.waiting
        if waiting >= most:
            raise QuotaExceeded(
                f"{caller.name} has {waiting} unfinished evaluations; the limit is {most}.",
                hint="Wait until one is done, or cancel one.",
                quota="unfinished evaluations",
                usage=waiting,
                limit=most,
            )


def job_of(evaluation_id: str) -> Job:
    """The evaluation's job; fusions go first, as they take less long."""
    return Job(other_job(EVALUATION, evaluation_id), Priority.LOW)


def record_evaluation(
    transaction: Transaction, evaluation: Evaluation, before: EvaluationState | None, actor: str
) -> None:
    """Write a change of an evaluation's state into the audit log."""
    after: dict[str, object] = {"state": evaluation.state.value, "version": evaluation.ref}
    if before is None:
        after |= {"seeds": evaluation.request.seeds, **evaluation.request.to_json()}
    if evaluation.error is not None:
        after["error"] = evaluation.error.code
    stood = None if before is None else {"state": before.value}
    action = "evaluation.requested" if before is None else f"evaluation.{evaluation.state.value}"
    resource = f"evaluation/{evaluation.id}"
    transaction.audit.record(AuditEvent(actor, action, resource, stood, after))


def _readable(
    transaction: Transaction, evaluation_id: str, caller: Caller
) -> tuple[Evaluation, ModelVersion]:
    """The evaluation and its version, if the caller may read that."""
    evaluation, viewer = transaction.evaluations.get(evaluation_id), caller.viewer
    if evaluation is not None:
        version = transaction.models.get(evaluation.model, evaluation.version, viewer=viewer)
        if version is not None:
            return evaluation, version
    raise NotFound(f"There is no evaluation {evaluation_id!r}.", hint="List those of the version.")


def _check_concepts(transaction: Transaction, version: ModelVersion, caller: Caller) -> None:
    """Raise unless the caller could fuse the version's concepts: each is sampled by itself too."""
    ingredients = transaction.lineage.ingredients(version.fusion_id, viewer=caller.viewer)
    if not all(item.is_listed for item in ingredients):
        raise PermissionDenied(
            f"Not every concept of {version.model}@{version.version} is yours to see.",
            hint="Ask their owners to share them, or a curator to request the evaluation.",
        )
    withdrawn = [item.ref for item in ingredients if item.state is SubmissionState.WITHDRAWN]
    if withdrawn:
        raise Gone(
            f"{', '.join(withdrawn[:5])} of this version was withdrawn.",
            hint="Fuse it again without, and have that version evaluated.",
        )
    base = transaction.bases.get(version.base)
    if base is not None and len(base.layer_map.text_encoders) > 1:
        raise Conflict(
            f"{version.base} has several text encoders: such models are fused here, but not run.",
            hint="Evaluate versions of Stable Diffusion 1.x and 2.x.",
        )
