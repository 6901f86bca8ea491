"""Where a model version comes from, where a concept went, and who holds a file."""

from __future__ import annotations

from mos_protocol.errors import NotFound
from mos_protocol.names import Digest

from mos_center.domain.access import Caller, Scope
from mos_center.domain.lineage import Holders, Lineage, VersionRef
from mos_center.domain.models import ModelVersion
from mos_center.domain.ports import Database, Transaction
from mos_center.domain.quality import SUMMARY, Quality, read_quality
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
            return _lineage(transaction, find_version(transaction, model, revision, caller), caller)

    def with_quality(self, model: str, revision: str, *, caller: Caller) -> tuple[Lineage, Quality]:
        """As `of_version`, and how well it came out."""
        with self._database.read() as transaction:
            version = find_version(transaction, model, revision, caller)
            report = transaction.models.report(version.model, version.version, SUMMARY)
            return _lineage(transaction, version, caller), read_quality(report)

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


def _lineage(transaction: Transaction, version: ModelVersion, caller: Caller) -> Lineage:
    models, lineage, viewer = transaction.models, transaction.lineage, caller.viewer
    fusion = find_fusion(transaction, version.fusion_id)
    before = models.predecessor(version.model, version.version, viewer=viewer)
    after = models.successor(version.model, version.version, viewer=viewer)
    repeats = lineage.version_of(fusion.refusion_of) if fusion.refusion_of else None
    refusions = lineage.refusions(fusion.id)
    beside = [VersionRef(version.model, number) for number in (before, after) if number]
    related = [*beside, *refusions, *([repeats] if repeats else [])]
    return Lineage(
        version=version,
        fusion=fusion,
        ingredients=lineage.ingredients(fusion.id, viewer=viewer),
        predecessor=before,
        successor=after,
        refusion_of=repeats,
        refusions=refusions,
        tombstoned=lineage.tombstoned(related),
    )
