"""Requesting, finding and cancelling fusions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.models import (
    Fusion,
    Priority,
)
from mos_center.domain.policy import Quota
from mos_center.domain.ports import Database, FusionQueue
from mos_center.domain.states import (
    FusionState,
    check_fusion_transition,
)
from mos_center.service.fusion_lookup import check_requester, readable_fusion, record_fusion
from mos_center.service.fusion_queue import job_of, placed, started_over
from mos_center.service.fusion_requests import FusionRequest, find_or_add
from mos_center.service.quotas import check_job_quota

log = logging.getLogger(__name__)


class FusionService:
    """The use cases around a fusion, but for the work itself."""

    def __init__(self, database: Database, queue: FusionQueue, quota: Quota | None = None) -> None:
        self._database = database
        self._queue = queue
        self._quota = quota or Quota()

    def request(self, request: FusionRequest, *, caller: Caller) -> tuple[Fusion, bool]:
        """Return the fusion of this build, and whether this request made it.

        The same build is fused once unless it failed or was cancelled. Concepts that the caller
        may not see are `NotFound`; a model that belongs to somebody else is `PermissionDenied`.
        Raises `Gone` when this build was published and is tombstoned, and `QuotaExceeded`.
        """
        if request.priority is Priority.HIGH:
            caller.require(Scope.FUSION_REQUEST, Role.CURATOR)
        with self._database.write() as transaction:
            fusion, made = find_or_add(transaction, request, caller)
            (fusion,) = placed(transaction, [fusion])
            if made:
                check_job_quota(transaction, self._quota, caller.name)
        if fusion.state is FusionState.QUEUED:
            # Also when it was known: the process may have died between the two.
            self._queue.enqueue(job_of(fusion))
        log.info("fusion.requested id=%s made=%s by=%s", fusion.id, made, caller.name)
        return fusion, made

    def get(self, fusion_id: str, *, caller: Caller) -> Fusion:
        """Return the fusion; raises `NotFound`, also when the caller may not read it."""
        with self._database.read() as transaction:
            return placed(transaction, [readable_fusion(transaction, fusion_id, caller)])[0]

    def find(
        self,
        *,
        states: Iterable[FusionState],
        caller: Caller,
        before: str | None = None,
        limit: int,
    ) -> tuple[Fusion, ...]:
        """Fusions in these states that the caller may read, newest first."""
        with self._database.read() as transaction:
            found = transaction.fusions.find(
                states=states, viewer=caller.viewer, before=before, limit=limit
            )
            return placed(transaction, found)

    def cancel(self, fusion_id: str, caller: Caller) -> Fusion:
        """Cancel it; takes effect at the next step. `Conflict` when it is finished."""
        with self._database.write() as transaction:
            fusion = readable_fusion(transaction, fusion_id, caller)
            check_requester(fusion, caller)
            if fusion.state is not FusionState.CANCELLED:
                check_fusion_transition(fusion.state, FusionState.CANCELLED)
                before = fusion.state
                fusion = replace(fusion, state=FusionState.CANCELLED, finished_at=datetime.now(UTC))
                transaction.fusions.update(fusion)
                record_fusion(transaction, fusion, before, caller)
        self._queue.cancel(fusion_id)
        return fusion

    def retry(self, fusion_id: str, caller: Caller) -> Fusion:
        """Queue a failed fusion again, from its start; it goes behind those that wait.

        Again while it is queued is fine. Raises `Conflict` unless it failed.
        """
        with self._database.write() as transaction:
            fusion = readable_fusion(transaction, fusion_id, caller)
            check_requester(fusion, caller)
            if fusion.state is not FusionState.QUEUED:
                before = fusion.state
                fusion = started_over(transaction, fusion)
                record_fusion(transaction, fusion, before, caller)
                check_job_quota(transaction, self._quota, fusion.requested_by)
            (fusion,) = placed(transaction, [fusion])
        self._queue.enqueue(job_of(fusion))
        return fusion
