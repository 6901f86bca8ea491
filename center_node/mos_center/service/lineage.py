"""Where a model version comes from, where a concept went, and who holds a file."""

from __future__ import annotations

from mos_protocol.errors import NotFound
from mos_protocol.names import Digest

from mos_center.domain.access import Caller, Scope
from mos_center.domain.lineage import Holders, Lineage
from mos_center.domain.models import ModelVersion
from mos_center.domain.ports import Database
from mos_center.service.concepts import find_concept
from mos_center.service.fusion_lookup import find_fusion
from mos_center.service.models import find_version


class LineageService:
    """Follows what was made of what, both ways."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_version(self, model: str, revision: str, *, caller: Caller) -> Lineage:
        """All that a version was made of; raises `NotFound`."""
        with self._database.read() as transaction:
            version = find_version(transaction, model, revision, caller)
            fusion = find_fusion(transaction, version.fusion_id)
            repeated = fusion.refusion_of
            return Lineage(
                version=version,
                fusion=fusion,
                ingredients=transaction.lineage.ingredients(fusion.id),
                predecessor=transaction.models.predecessor(
                    model, version.version, viewer=caller.viewer
                ),
                refusion_of=transaction.lineage.version_of(repeated) if repeated else None,
                refusions=transaction.lineage.refusions(fusion.id),
            )

    def versions_with(
        self,
        owner: str,
        name: str,
        version: int,
        *,
        caller: Caller,
        before: str | None = None,
        limit: int,
    ) -> tuple[ModelVersion, ...]:
        """The model versions with this concept version that the caller may read, newest first."""
        with self._database.read() as transaction:
            concept = find_concept(transaction, owner, name, version, caller)
            return transaction.models.with_concept(
                concept.id, viewer=caller.viewer, before=before, limit=limit
            )

    def holders(self, digest: Digest, *, caller: Caller) -> Holders:
        """Who has this file, as far as the caller may see; raises `NotFound` when nobody has."""
        sees_concepts = Scope.CONCEPT_READ in caller.scopes
        with self._database.read() as transaction:
            lineage = transaction.lineage
            concepts = lineage.concepts_with(digest, viewer=caller.viewer) if sees_concepts else ()
            versions = lineage.versions_with(digest, viewer=caller.viewer)
        if not concepts and not versions:
            raise NotFound(
                f"Nothing here has a file with the sha256 {digest[:12]}….",
                hint="Files of withdrawn concepts are not kept, and hidden ones are not told.",
            )
        return Holders(concepts, versions)
