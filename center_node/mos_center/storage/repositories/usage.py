"""How much of the center each member uses."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, distinct, func, select

from mos_center.domain.policy import Usage
from mos_center.domain.states import UNFINISHED, SubmissionState
from mos_center.storage.tables import fusions, submissions

NOTHING_KEPT = frozenset({SubmissionState.REJECTED, SubmissionState.WITHDRAWN})
"""The submissions whose files are gone."""


class SqlUsages:
    """Implements `domain.ports.Usages`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, member: str) -> Usage:
        return self.of_many((member,))[member]

    def of_many(self, members: Collection[str]) -> dict[str, Usage]:
        jobs = self._jobs(members)
        kept = self._connection.execute(
            select(
                submissions.c.owner,
                func.sum(submissions.c.bytes),
                func.count(distinct(submissions.c.name)),
            )
            .where(
                submissions.c.owner.in_(members),
                submissions.c.state.not_in(sorted(NOTHING_KEPT)),
            )
            .group_by(submissions.c.owner)
        )
        packages = {owner: (int(total), concepts) for owner, total, concepts in kept}
        return {
            member: Usage(*packages.get(member, (0, 0)), jobs=jobs.get(member, 0))
            for member in members
        }

    def _jobs(self, members: Collection[str]) -> dict[str, int]:
        rows = self._connection.execute(
            select(fusions.c.requested_by, func.count().label("jobs"))
            .where(fusions.c.requested_by.in_(members), fusions.c.state.in_(sorted(UNFINISHED)))
            .group_by(fusions.c.requested_by)
        )
        return {row.requested_by: row.jobs for row in rows}
