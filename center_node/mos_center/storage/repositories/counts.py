"""How much there is, by state."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from mos_center.domain.states import FusionState, SubmissionState
from mos_center.storage.tables import fusions, submissions


class SqlCounts:
    """Implements `domain.ports.Counts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submissions(self) -> dict[SubmissionState, int]:
        query = select(submissions.c.state, func.count()).group_by(submissions.c.state)
        return {SubmissionState(state): count for state, count in self._connection.execute(query)}

    def fusions(self) -> dict[FusionState, int]:
        query = select(fusions.c.state, func.count()).group_by(fusions.c.state)
        return {FusionState(state): count for state, count in self._connection.execute(query)}

    def oldest_queued(self) -> datetime | None:
        return self._connection.scalar(
            select(fusions.c.created_at)
            .where(fusions.c.state == FusionState.QUEUED)
            .order_by(fusions.c.created_at)
            .limit(1)
        )
