"""What is made of what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mos_protocol.manifest import parse_manifest
from mos_protocol.names import Digest
from sqlalchemy import Connection, Row, func, select, tuple_

from mos_center.domain.access import Visibility
from mos_center.domain.lineage import HeldByConcept, HeldByVersion, Ingredient, VersionRef
from mos_center.domain.states import CATALOGUED, UNFINISHED, SubmissionState
from mos_center.storage.repositories.readable import fusion_is_readable, submission_is_listed
from mos_center.storage.repositories.weights import WEIGHT_COLUMNS, read_weights
from mos_center.storage.tables import (
    concepts,
    fusion_concepts,
    fusions,
    model_versions,
    submission_files,
    submissions,
    version_files,
)

MANIFEST = "manifest.json"


class SqlLineages:
    """Implements `domain.ports.Lineages`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ingredients(self, fusion_id: str, *, viewer: str | None = None) -> tuple[Ingredient, ...]:
        listed = submission_is_listed(viewer).label("listed")
        rows = self._connection.execute(
            select(submissions, concepts.c.visibility, listed, *WEIGHT_COLUMNS)
            .select_from(fusion_concepts)
            .join(submissions)
            .join(
                concepts,
                (concepts.c.owner == submissions.c.owner) & (concepts.c.name == submissions.c.name),
            )
            .where(fusion_concepts.c.fusion == fusion_id)
            .order_by(fusion_concepts.c.position)
        )
        return tuple(_ingredient(row) for row in rows)

    def approved(self, fusion_ids: Iterable[str]) -> dict[str, int]:
        rows = self._connection.execute(
            select(fusion_concepts.c.fusion, func.count().label("concepts"))
            .join(submissions)
            .where(
                fusion_concepts.c.fusion.in_(sorted(set(fusion_ids))),
                submissions.c.state == SubmissionState.APPROVED,
            )
            .group_by(fusion_concepts.c.fusion)
        )
        return {row.fusion: row.concepts for row in rows}

    def unfinished_with(self, submission_id: str) -> tuple[str, ...]:
        query = (
            select(fusions.c.id)
            .join(fusion_concepts, fusion_concepts.c.fusion == fusions.c.id)
            .where(
                fusion_concepts.c.submission == submission_id,
                fusions.c.state.in_(sorted(UNFINISHED)),
            )
            .distinct()
        )
        return tuple(self._connection.scalars(query.order_by(fusions.c.id)))

    def version_of(self, fusion_id: str) -> VersionRef | None:
        row = self._connection.execute(
            select(model_versions.c.model, model_versions.c.version).where(
                model_versions.c.fusion == fusion_id
            )
        ).one_or_none()
        return VersionRef(row.model, row.version) if row else None

    def refusions(self, fusion_id: str) -> tuple[VersionRef, ...]:
        rows = self._connection.execute(
            select(model_versions.c.model, model_versions.c.version)
            .join(fusions, fusions.c.id == model_versions.c.fusion)
            .where(fusions.c.refusion_of == fusion_id)
            .order_by(model_versions.c.model, model_versions.c.version)
        )
        return tuple(VersionRef(row.model, row.version) for row in rows)

    def tombstoned(self, refs: Iterable[VersionRef]) -> frozenset[VersionRef]:
        keys = sorted({(ref.model, ref.version) for ref in refs})
        rows = self._connection.execute(
            select(model_versions.c.model, model_versions.c.version).where(
                tuple_(model_versions.c.model, model_versions.c.version).in_(keys),
                model_versions.c.tombstoned_at.is_not(None),
            )
        )
        return frozenset(VersionRef(row.model, row.version) for row in rows)

    def concepts_with(self, digest: Digest, *, viewer: str | None) -> tuple[HeldByConcept, ...]:
        seen = (
            submissions.c.state.in_(sorted(CATALOGUED)),
            submission_is_listed(viewer),
        )
        columns = (
            submissions.c.owner,
            submissions.c.name,
            submissions.c.version,
            submissions.c.state,
        )
        files = self._connection.execute(
            select(*columns, submission_files.c.path)
            .join(submission_files, submission_files.c.submission == submissions.c.id)
            .where(submission_files.c.sha256 == digest, *seen)
            .order_by(submissions.c.id, submission_files.c.path)
        )
        manifests = self._connection.execute(
            select(*columns).where(submissions.c.manifest_digest == digest, *seen)
        )
        return (
            *_held((row, MANIFEST) for row in manifests),
            *_held((row, row.path) for row in files),
        )

    def versions_with(self, digest: Digest, *, viewer: str | None) -> tuple[HeldByVersion, ...]:
        rows = self._connection.execute(
            select(version_files.c.model, version_files.c.version, version_files.c.path)
            .join(
                model_versions,
                (model_versions.c.model == version_files.c.model)
                & (model_versions.c.version == version_files.c.version),
            )
            .join(fusions, fusions.c.id == model_versions.c.fusion)
            .where(version_files.c.sha256 == digest, fusion_is_readable(viewer))
            .order_by(version_files.c.model, version_files.c.version, version_files.c.path)
        )
        return tuple(HeldByVersion(row.model, row.version, row.path) for row in rows)


def _held(found: Iterable[tuple[Row[*tuple[Any, ...]], str]]) -> tuple[HeldByConcept, ...]:
    return tuple(
        HeldByConcept(f"{row.owner}/{row.name}", row.version, SubmissionState(row.state), path)
        for row, path in found
    )


def _ingredient(row: Row[*tuple[Any, ...]]) -> Ingredient:
    manifest = parse_manifest(row.manifest.encode())
    return Ingredient(
        submission_id=row.id,
        name=f"{row.owner}/{row.name}",
        version=row.version,
        weights=read_weights(row),
        manifest_digest=Digest(row.manifest_digest),
        state=SubmissionState(row.state),
        visibility=Visibility(row.visibility),
        licence=manifest.licence,
        consent=manifest.consent,
        previews=tuple(entry.path for entry in manifest.previews),
        is_listed=row.listed,
    )
