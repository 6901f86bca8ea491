"""How much of the center each member uses."""

from __future__ import annotations

from sqlalchemy import Connection, ScalarSelect, distinct, func, select

from mos_center.domain.policy import Usage
from mos_center.domain.states import UNFINISHED, SubmissionState
from mos_center.storage.tables import fusions, submissions

# Nothing is kept of these.
_GONE = (SubmissionState.REJECTED, SubmissionState.WITHDRAWN)


class SqlUsages:
    """Implements `domain.ports.Usages`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, member: str) -> Usage:
        mine = (submissions.c.owner == member) & submissions.c.state.not_in(_GONE)
        row = self._connection.execute(
            select(
                func.coalesce(func.sum(submissions.c.bytes), 0).label("total_bytes"),
                func.count(distinct(submissions.c.name)).label("concepts"),
                _jobs(member).label("jobs"),
            ).where(mine)
        ).one()
        return Usage(int(row.total_bytes), row.concepts, row.jobs)


def _jobs(member: str) -> ScalarSelect[int]:
    return (
        select(func.count())
        .select_from(fusions)
        .where(fusions.c.requested_by == member, fusions.c.state.in_(sorted(UNFINISHED)))
        .scalar_subquery()
    )
