"""The worker: takes fusions from the ledger and runs them, one after the other, durably."""

from __future__ import annotations

import logging
from pathlib import Path

from mos_protocol.errors import JobFailed

from mos_center.domain.ports import BlobStore, FusionLedger
from mos_center.fusion.sums_cache import SumsCache
from mos_center.jobs.durable import DurableJobs, JobState
from mos_center.jobs.fusion_job import FusionJob

log = logging.getLogger(__name__)


class FusionWorker:
    """Implements `domain.ports.FusionQueue`; at most one per process and per database file.

    ledger: where fusions are described and told about. blobs: where files are. database: the
    SQLite file that remembers which steps are done. work: a folder for what lies between steps.
    sums: where sums of earlier fusions are kept, if they are.
    """

    def __init__(
        self,
        ledger: FusionLedger,
        blobs: BlobStore,
        database: Path,
        work: Path,
        sums: SumsCache | None = None,
    ) -> None:
        self._ledger = ledger
        self._jobs = DurableJobs(database, FusionJob(ledger, blobs, work, sums).run)

    def start(self) -> None:
        """Go on with what was interrupted and take up what waits; blocks for about a second.

        In a program with an event loop, call it by `asyncio.to_thread`.
        """
        self._jobs.start()
        for fusion_id in self._ledger.unfinished():
            if self._jobs.state(fusion_id) is JobState.ENDED:
                # Its job ended without the ledger hearing of it, which nothing can repeat now.
                error = JobFailed("The fusion's job was lost.", hint="Request the fusion again.")
                self._ledger.failed(fusion_id, error)
            else:
                self._jobs.enqueue(fusion_id)
        log.info("worker.started")

    def stop(self) -> None:
        """Let the running step end and stop; the fusion goes on at the next start."""
        self._jobs.stop()
        log.info("worker.stopped")

    def enqueue(self, fusion_id: str) -> None:
        """Have the fusion run, once."""
        self._jobs.enqueue(fusion_id)

    def cancel(self, fusion_id: str) -> None:
        """Nothing to hand over: the job asks the ledger before each of its steps."""
        log.info("worker.cancel id=%s", fusion_id)
