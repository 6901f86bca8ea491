"""How much there is, by state."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, distinct, func, select

from mos_center.domain.models import Priority
from mos_center.domain.overview import Stored, Waiting
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.storage.repositories.audits import UNFINISHED_AUDITS
from mos_center.storage.repositories.usage import NOTHING_KEPT
from mos_center.storage.tables import (
    api_tokens,
    concept_audits,
    fusions,
    members,
    submissions,
    version_files,
)


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

    def priorities(self) -> dict[Priority, int]:
        query = (
            select(fusions.c.priority, func.count())
            .where(fusions.c.state == FusionState.QUEUED)
            .group_by(fusions.c.priority)
        )
        return {Priority(priority): count for priority, count in self._connection.execute(query)}

    def unfinished_audits(self) -> int:
        return self._count(
            select(func.count())
            .select_from(concept_audits)
            .where(concept_audits.c.state.in_(UNFINISHED_AUDITS))
        )

    def waiting(self, owner: str | None) -> Waiting:
        row = self._connection.execute(
            select(func.count(), func.min(submissions.c.created_at)).where(
                submissions.c.state == SubmissionState.PENDING_REVIEW,
                *_only(submissions.c.owner, owner),
            )
        ).one()
        return Waiting(*row)

    def requested(self, states: Collection[FusionState], requester: str | None) -> int:
        return self._count(
            select(func.count())
            .select_from(fusions)
            .where(fusions.c.state.in_(sorted(states)), *_only(fusions.c.requested_by, requester))
        )

    def failed(self, since: datetime, requester: str | None) -> int:
        return self._count(
            select(func.count())
            .select_from(fusions)
            .where(
                fusions.c.state == FusionState.FAILED,
                fusions.c.finished_at >= since,
                *_only(fusions.c.requested_by, requester),
            )
        )

    def stored(self) -> Stored:
        packages = select(func.sum(submissions.c.bytes)).where(
            submissions.c.state.not_in(sorted(NOTHING_KEPT))
        )
        contents = select(version_files.c.sha256, version_files.c.size).distinct().subquery()
        return Stored(self._count(packages), self._count(select(func.sum(contents.c.size))))

    def members(self) -> int:
        return self._count(
            select(func.count()).select_from(members).where(members.c.disabled_at.is_(None))
        )

    def active_members(self, since: datetime) -> int:
        return self._count(
            select(func.count(distinct(api_tokens.c.member))).where(
                api_tokens.c.last_used_at >= since
            )
        )

    def _count(self, query: Select[Any]) -> int:
        return int(self._connection.scalar(query) or 0)


def _only(column: ColumnElement[str], value: str | None) -> list[ColumnElement[bool]]:
    return [] if value is None else [column == value]
