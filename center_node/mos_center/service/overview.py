"""The first page: what waits, what runs, what failed lately, what there is."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from mos_center.domain.access import Caller, Scope
from mos_center.domain.models import Fusion
from mos_center.domain.overview import Overview, People, Stored, Waiting
from mos_center.domain.policy import Quota
from mos_center.domain.ports import Database, Transaction
from mos_center.domain.queries import ConceptQuery, FusionQuery, ModelQuery, Order
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.service.fusion_queue import placed
from mos_center.service.quotas import usage_of

LATELY = timedelta(days=7)
ACTIVE = timedelta(days=30)
SHOWN = 6
# What all files together take changes slowly, and is not counted for every look.
_STORED_SECONDS = 60.0


class OverviewService:
    """Puts the numbers of the first page together, in a fixed number of queries."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota
        self._counting = threading.Lock()
        self._stored: tuple[float, Stored] | None = None

    def of(self, caller: Caller) -> Overview:
        """The center as the caller may see it; what its token has no scope for is left out."""
        now = datetime.now(UTC)
        mine = caller.viewer
        reads_concepts = Scope.CONCEPT_READ in caller.scopes
        reads_models = Scope.MODEL_READ in caller.scopes
        with self._database.read() as transaction:
            counts = transaction.counts
            usage = usage_of(transaction, self._quota, caller.name)
            return Overview(
                waiting=counts.waiting(mine) if reads_concepts else Waiting(0, None),
                queued=counts.requested([FusionState.QUEUED], mine) if reads_models else 0,
                running=counts.requested([FusionState.RUNNING], mine) if reads_models else 0,
                failed=counts.failed(now - LATELY, mine) if reads_models else 0,
                used=usage.used,
                limits=usage.limits,
                stored=self._count_stored(transaction) if caller.is_curator else None,
                people=(
                    People(counts.members(), counts.active_members(now - ACTIVE))
                    if caller.is_admin
                    else None
                ),
                to_review=transaction.submissions.find(
                    states=[SubmissionState.PENDING_REVIEW],
                    viewer=mine,
                    query=ConceptQuery(owner=mine),
                    limit=SHOWN,
                )
                if reads_concepts
                else (),
                under_way=_under_way(transaction, mine) if reads_models else (),
                failures=_failures(transaction, now, mine) if reads_models else (),
                published=transaction.models.find(
                    ModelQuery(order=Order.NEWEST), viewer=mine, limit=SHOWN
                )
                if reads_models
                else (),
            )

    def waiting(self, caller: Caller) -> Waiting:
        """The packages that wait for the caller to review them, or for review of the caller's."""
        with self._database.read() as transaction:
            return transaction.counts.waiting(caller.viewer)

    def _count_stored(self, transaction: Transaction) -> Stored:
        with self._counting:
            now = time.monotonic()
            if self._stored is None or now - self._stored[0] > _STORED_SECONDS:
                self._stored = (now, transaction.counts.stored())
            return self._stored[1]


def _under_way(transaction: Transaction, mine: str | None) -> tuple[Fusion, ...]:
    """What runs, then what waits."""
    running = _newest(transaction, FusionState.RUNNING, mine)
    queued = _newest(transaction, FusionState.QUEUED, mine)
    return (*running, *placed(transaction, queued))[:SHOWN]


def _failures(transaction: Transaction, now: datetime, mine: str | None) -> tuple[Fusion, ...]:
    found = _newest(transaction, FusionState.FAILED, mine)
    return tuple(one for one in found if one.finished_at and now - one.finished_at < LATELY)


def _newest(transaction: Transaction, state: FusionState, mine: str | None) -> tuple[Fusion, ...]:
    query = FusionQuery(states=frozenset({state}))
    return transaction.fusions.find(query, viewer=mine, limit=SHOWN)
