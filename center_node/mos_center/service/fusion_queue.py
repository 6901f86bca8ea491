"""Where fusions stand among those that wait, and putting a failed one behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict

from mos_center.domain.jobs import Job, fusion_job
from mos_center.domain.models import Fusion, Progress
from mos_center.domain.ports import Transaction
from mos_center.domain.states import FusionState, SubmissionState, check_fusion_transition
from mos_center.service.submissions import find_submission


def job_of(fusion: Fusion) -> Job:
    """The job that a worker is to do for it."""
    return Job(fusion_job(fusion.id, fusion.generation), fusion.priority)


def placed(transaction: Transaction, found: Sequence[Fusion]) -> tuple[Fusion, ...]:
    """The same fusions, with their places in the queue."""
    waiting = [fusion.id for fusion in found if fusion.state is FusionState.QUEUED]
    places = transaction.fusions.queue_positions(waiting) if waiting else {}
    return tuple(replace(fusion, queue_position=places.get(fusion.id)) for fusion in found)


def started_over(transaction: Transaction, fusion: Fusion) -> Fusion:
    """Queue a failed fusion under a new job; raises `Conflict` when it can't be fused (again)."""
    check_fusion_transition(fusion.state, FusionState.QUEUED)
    known = transaction.fusions.by_build(fusion.model, fusion.build)
    if known is not None:
        raise Conflict(
            f"The same build was requested again, as fusion {known.id}.", hint="Follow that one."
        )
    _check_concepts(transaction, fusion)
    queued = replace(
        fusion,
        state=FusionState.QUEUED,
        progress=Progress(),
        error=None,
        started_at=None,
        finished_at=None,
        generation=fusion.generation + 1,
        deaths=0,
        queued_at=datetime.now(UTC),
    )
    transaction.fusions.update(queued)
    return queued


def _check_concepts(transaction: Transaction, fusion: Fusion) -> None:
    for concept in fusion.concepts:
        submission = find_submission(transaction, concept.submission_id)
        if submission.state is not SubmissionState.APPROVED:
            raise Conflict(
                f"{concept.ref} is {submission.state.value} and can't be fused any more.",
                hint="Request a fusion without it.",
            )
