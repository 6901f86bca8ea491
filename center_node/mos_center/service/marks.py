"""Whose picture it is: what the mark of a watermark means."""

from __future__ import annotations

from mos_protocol.errors import NotFound

from mos_center.domain.access import Caller, Scope
from mos_center.domain.marks import Marked
from mos_center.domain.ports import Database


class MarkService:
    """Looks marks up. What the caller may not see answers as what nobody has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, mark: str, *, caller: Caller) -> Marked:
        """All that the mark means, as far as the caller may see; raises `NotFound`."""
        sees_concepts = Scope.CONCEPT_READ in caller.scopes
        with self._database.read() as transaction:
            marks = transaction.marks
            found = Marked(
                versions=marks.versions(mark, viewer=caller.viewer),
                concepts=marks.concepts(mark, viewer=caller.viewer) if sees_concepts else (),
                bases=marks.bases(mark),
            )
        if not (found.versions or found.concepts or found.bases):
            raise NotFound(
                f"Nothing that you may see has the mark {mark}.",
                hint="The picture may come from another center, or from a model that you may "
                "not read.",
            )
        return found
