"""Requesting, finding and cancelling fusions."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mos_center.domain.access import Caller
from mos_center.domain.fusion_events import FusionEvent
from mos_center.domain.models import Fusion, Solver
from mos_center.domain.policy import Quota
from mos_center.domain.ports import BlobStore, Database, FusionQueue
from mos_center.domain.queries import FusionQuery
from mos_center.domain.states import (
    FusionState,
    check_fusion_transition,
)
from mos_center.service.fusion_builds import find_or_add
from mos_center.service.fusion_checks import FusionCheck, examine, outcome
from mos_center.service.fusion_concepts import find_members, findings_about
from mos_center.service.fusion_findings import Finding, raise_first
from mos_center.service.fusion_lookup import check_requester, readable_fusion, record_fusion
from mos_center.service.fusion_queue import job_of, placed, started_over
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.service.quotas import check_job_quota
from mos_center.service.stored_packages import StoredPackages, files_to_read

log = logging.getLogger(__name__)


class FusionService:
    """The use cases around a fusion, but for the work itself."""

    def __init__(
        self,
        database: Database,
        queue: FusionQueue,
        blobs: BlobStore,
        quota: Quota | None = None,
    ) -> None:
        self._database = database
        self._queue = queue
        self._packages = StoredPackages(blobs)
        self._quota = quota or Quota()

    def check(self, request: FusionRequest, *, caller: Caller) -> FusionCheck:
        """Say all that stands against the request, and what it would become; changes nothing."""
        with self._database.read() as transaction:
            examined = examine(transaction, request, caller, self._quota)
            check = outcome(transaction, request, examined)
            # What is known already is not read again.
            members = examined.members if examined.known is None else ()
            files = files_to_read(transaction, members)
        lost = tuple(self._packages.findings(files))
        return replace(check, findings=(*lost, *check.findings))

    def check_concepts(
        self,
        base: str,
        concepts: Sequence[WantedConcept],
        *,
        solver: Solver = Solver.CLOSED_FORM,
        caller: Caller,
    ) -> tuple[Finding, ...]:
        """What stands against fusing these, while the rest of a request is still open."""
        with self._database.read() as transaction:
            record = transaction.bases.get(base)
            if record is None:
                return ()
            members, refusals = find_members(transaction, concepts, record, caller)
            files = files_to_read(transaction, members)
        lost = self._packages.findings(files)
        return (*refusals, *lost, *findings_about(members, record, solver))

    def request(self, request: FusionRequest, *, caller: Caller) -> tuple[Fusion, bool]:
        """Return the fusion of this build, and whether this request made it.

        The same build is fused once unless it failed or was cancelled. Concepts that the caller
        may not see are `NotFound`; a model that belongs to somebody else is `PermissionDenied`.
        Raises `Gone` when this build was published and is tombstoned, and `QuotaExceeded`.
        """
        # Before anybody waits for this writer: the store of packages may be far away.
        raise_first(self.check(request, caller=caller).findings)
        with self._database.write() as transaction:
            fusion, made = find_or_add(transaction, request, caller, self._quota)
            (fusion,) = placed(transaction, [fusion])
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
        query: FusionQuery | None = None,
        *,
        states: Iterable[FusionState] = FusionState,
        caller: Caller,
        before: str | None = None,
        limit: int,
    ) -> tuple[Fusion, ...]:
        """What the query asks for, in these states, as far as the caller may read it; newest first.

        Queued ones have their place in the queue.
        """
        query = query or FusionQuery()
        asked = replace(query, states=query.states & frozenset(states))
        with self._database.read() as transaction:
            found = transaction.fusions.find(
                asked, viewer=caller.viewer, before=before, limit=limit
            )
            return placed(transaction, found)

    def events(
        self, fusion_id: str, *, caller: Caller, after: int = 0, limit: int = 500
    ) -> tuple[FusionEvent, ...]:
        """What happened to it, oldest first, only numbers above `after`; raises as `get` does."""
        with self._database.read() as transaction:
            readable_fusion(transaction, fusion_id, caller)
            return transaction.fusion_events.of(fusion_id, after=after, limit=limit)

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
