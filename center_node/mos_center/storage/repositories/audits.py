"""Audits of concepts' statistics."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mos_center.domain.audits import AuditState, ConceptAudit
from mos_center.storage.tables import concept_audits

UNFINISHED_AUDITS = [state.value for state in AuditState if not state.is_finished]


class SqlConceptAudits:
    """Implements `domain.ports.ConceptAudits`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, audit: ConceptAudit) -> None:
        self._connection.execute(
            insert(concept_audits).values(
                id=audit.id,
                submission=audit.submission_id,
                state=audit.state,
                requested_by=audit.requested_by,
                created_at=audit.created_at,
            )
        )

    def update(self, audit: ConceptAudit) -> None:
        self._connection.execute(
            update(concept_audits)
            .where(concept_audits.c.id == audit.id)
            .values(
                state=audit.state,
                finished_at=audit.finished_at,
                result=None if audit.result is None else dict(audit.result),
            )
        )

    def get(self, audit_id: str) -> ConceptAudit | None:
        query = select(concept_audits).where(concept_audits.c.id == audit_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _audit(row)

    def of(self, submission_id: str) -> tuple[ConceptAudit, ...]:
        query = select(concept_audits).where(concept_audits.c.submission == submission_id)
        rows = self._connection.execute(query.order_by(concept_audits.c.id.desc()))
        return tuple(_audit(row) for row in rows)

    def unfinished(self) -> tuple[str, ...]:
        query = select(concept_audits.c.id).where(concept_audits.c.state.in_(UNFINISHED_AUDITS))
        return tuple(self._connection.scalars(query.order_by(concept_audits.c.id)))


def _audit(row: Row[Any]) -> ConceptAudit:
    return ConceptAudit(
        id=row.id,
        submission_id=row.submission,
        state=AuditState(row.state),
        requested_by=row.requested_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        result=row.result,
    )
