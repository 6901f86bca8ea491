"""What has a digest that begins with a mark.

Digests are compared as a range, which every database answers from an index of whole digests.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, select

from mos_center.domain.marks import MarkedConcept
from mos_center.domain.models import ModelVersion
from mos_center.domain.states import CATALOGUED, SubmissionState
from mos_center.storage.repositories.readable import fusion_is_readable, submission_is_listed
from mos_center.storage.repositories.version_rows import VERSIONS, read_versions
from mos_center.storage.tables import bases, fusions, model_versions, submissions

# Nobody has so many versions of the same weights: it bounds the answer all the same.
_MOST = 100
_DIGITS = 64


class SqlMarks:
    """Implements `domain.ports.Marks`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def versions(self, mark: str, *, viewer: str | None) -> tuple[ModelVersion, ...]:
        query = (
            VERSIONS.where(_begins(fusions.c.build, mark), fusion_is_readable(viewer))
            .order_by(model_versions.c.model, model_versions.c.version)
            .limit(_MOST)
        )
        return read_versions(self._connection, self._connection.execute(query).all())

    def concepts(self, mark: str, *, viewer: str | None) -> tuple[MarkedConcept, ...]:
        rows = self._connection.execute(
            select(submissions)
            .where(
                _begins(submissions.c.manifest_digest, mark),
                submissions.c.state.in_(sorted(CATALOGUED)),
                submissions.c.version.is_not(None),
                submission_is_listed(viewer),
            )
            .order_by(submissions.c.owner, submissions.c.name, submissions.c.version)
            .limit(_MOST)
        )
        return tuple(
            MarkedConcept(
                name=f"{row.owner}/{row.name}",
                version=row.version,
                trigger=row.trigger_words,
                state=SubmissionState(row.state),
            )
            for row in rows
        )

    def bases(self, mark: str) -> tuple[str, ...]:
        query = select(bases.c.name).where(_begins(bases.c.digest, mark)).order_by(bases.c.name)
        return tuple(self._connection.scalars(query.limit(_MOST)))


def _begins(digest: ColumnElement[str], mark: str) -> ColumnElement[bool]:
    return and_(digest >= mark.ljust(_DIGITS, "0"), digest <= mark.ljust(_DIGITS, "f"))
