"""Concepts over all their versions: who may see them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, select, tuple_, update

from mos_center.domain.access import Visibility
from mos_center.domain.models import ConceptRecord
from mos_center.storage.repositories.references import insert_missing
from mos_center.storage.tables import concept_shares, concepts


class SqlConcepts:
    """Implements `domain.ports.Concepts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, owner: str, name: str) -> ConceptRecord | None:
        row = self._connection.execute(
            select(concepts).where(concepts.c.owner == owner, concepts.c.name == name)
        ).one_or_none()
        if row is None:
            return None
        return ConceptRecord(
            owner, name, Visibility(row.visibility), row.created_at, self._shares(owner, name)
        )

    def visibilities(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Visibility]:
        key = tuple_(concepts.c.owner, concepts.c.name)
        rows = self._connection.execute(select(concepts).where(key.in_(sorted(names))))
        return {(row.owner, row.name): Visibility(row.visibility) for row in rows}

    def add(self, concept: ConceptRecord) -> None:
        row = {
            "owner": concept.owner,
            "name": concept.name,
            "visibility": concept.visibility,
            "created_at": concept.created_at,
        }
        insert_missing(self._connection, concepts, [row])

    def show(self, owner: str, name: str, visibility: Visibility) -> None:
        self._connection.execute(
            update(concepts)
            .where(concepts.c.owner == owner, concepts.c.name == name)
            .values(visibility=visibility)
        )

    def share(self, owner: str, name: str, member: str) -> None:
        row = {"owner": owner, "name": name, "member": member}
        insert_missing(self._connection, concept_shares, [row])

    def unshare(self, owner: str, name: str, member: str) -> None:
        self._connection.execute(
            delete(concept_shares).where(
                concept_shares.c.owner == owner,
                concept_shares.c.name == name,
                concept_shares.c.member == member,
            )
        )

    def _shares(self, owner: str, name: str) -> tuple[str, ...]:
        query = select(concept_shares.c.member).where(
            concept_shares.c.owner == owner, concept_shares.c.name == name
        )
        return tuple(self._connection.scalars(query.order_by(concept_shares.c.member)))
