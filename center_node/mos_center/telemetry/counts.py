"""Metrics that are counted in the database when someone asks for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

from mos_protocol.errors import MosError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mos_center.domain.ports import Database
from mos_center.domain.states import FusionState, SubmissionState

log = logging.getLogger(__name__)


class DatabaseCounts(Collector):
    """Submissions and fusions by state, and how long the queue is.

    Every API process tells the same numbers: take their maximum, not their sum.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[GaugeMetricFamily]:
        """What it collects; nothing is read."""
        return list(_families())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        submissions, fusions, queue, oldest = _families()
        try:
            with self._database.read() as transaction:
                counts = transaction.counts
                found = counts.submissions(), counts.fusions(), counts.oldest_queued()
        except MosError as error:
            log.warning("metrics.unavailable reason=%s", error.message)
            return
        by_submission, by_fusion, since = found
        for state in SubmissionState:
            submissions.add_metric([state.value], by_submission.get(state, 0))
        for fusion_state in FusionState:
            fusions.add_metric([fusion_state.value], by_fusion.get(fusion_state, 0))
        queue.add_metric([], by_fusion.get(FusionState.QUEUED, 0))
        waited = (datetime.now(UTC) - since).total_seconds() if since else 0.0
        oldest.add_metric([], max(0.0, waited))
        yield from (submissions, fusions, queue, oldest)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("mos_submissions", "Submissions by state", labels=["state"]),
        GaugeMetricFamily("mos_fusions", "Fusions by state", labels=["state"]),
        GaugeMetricFamily("mos_queue_length", "Fusions that wait for a worker", labels=[]),
        GaugeMetricFamily(
            "mos_queue_oldest_seconds", "How long the oldest of them has waited", labels=[]
        ),
    )
