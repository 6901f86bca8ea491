"""Reading model versions with all that belongs to them, in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mos_protocol.names import Digest
from sqlalchemy import Connection, Row, select, tuple_

from mos_center.domain.models import ModelVersion, PublishedFile, Solver, VersionConcept
from mos_center.storage.repositories.weights import WEIGHT_COLUMNS, read_weights
from mos_center.storage.tables import (
    aliases,
    bases,
    fusion_concepts,
    fusions,
    model_versions,
    models,
    submissions,
    version_files,
)

# Databases take a limited number of parameters; a version needs two of them.
_CHUNK = 200

VersionKey = tuple[str, int]

VERSIONS = (
    select(
        model_versions.c.model,
        model_versions.c.version,
        model_versions.c.fusion,
        model_versions.c.created_at,
        model_versions.c.tombstoned_at,
        model_versions.c.tombstone_reason,
        fusions.c.requested_by,
        fusions.c.base,
        fusions.c.solver,
        fusions.c.build,
        bases.c.digest,
        models.c.owner,
    )
    .join(fusions, fusions.c.id == model_versions.c.fusion)
    .join(bases, bases.c.name == fusions.c.base)
    .outerjoin(models, models.c.name == model_versions.c.model)
)


def read_versions(
    connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]
) -> tuple[ModelVersion, ...]:
    """The versions of rows that have the columns of `VERSIONS`, in their order."""
    chunks = (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
    return tuple(version for chunk in chunks for version in _chunk(connection, chunk))


def _chunk(
    connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]
) -> tuple[ModelVersion, ...]:
    keys = [(row.model, row.version) for row in rows]
    names, files = _aliases(connection, keys), _files(connection, keys)
    concepts = _concepts(connection, [row.fusion for row in rows])
    return tuple(
        ModelVersion(
            model=row.model,
            version=row.version,
            aliases=tuple(names[row.model, row.version]),
            base=row.base,
            base_digest=Digest(row.digest),
            concepts=tuple(concepts[row.fusion]),
            solver=Solver(row.solver),
            fusion_id=row.fusion,
            build=Digest(row.build),
            created_at=row.created_at,
            files=tuple(files[row.model, row.version]),
            owner=row.owner or "",
            requested_by=row.requested_by,
            tombstoned_at=row.tombstoned_at,
            tombstone_reason=row.tombstone_reason,
        )
        for row in rows
    )


def _aliases(connection: Connection, keys: list[VersionKey]) -> dict[VersionKey, list[str]]:
    rows = connection.execute(
        select(aliases)
        .where(tuple_(aliases.c.model, aliases.c.version).in_(keys))
        .order_by(aliases.c.alias)
    )
    found: dict[VersionKey, list[str]] = defaultdict(list)
    for row in rows:
        found[row.model, row.version].append(row.alias)
    return found


def _files(connection: Connection, keys: list[VersionKey]) -> dict[VersionKey, list[PublishedFile]]:
    rows = connection.execute(
        select(version_files)
        .where(tuple_(version_files.c.model, version_files.c.version).in_(keys))
        .order_by(version_files.c.path)
    )
    found: dict[VersionKey, list[PublishedFile]] = defaultdict(list)
    for row in rows:
        file = PublishedFile(row.path, row.size, Digest(row.sha256))
        found[row.model, row.version].append(file)
    return found


def _concepts(connection: Connection, ids: list[str]) -> dict[str, list[VersionConcept]]:
    rows = connection.execute(
        select(
            fusion_concepts.c.fusion,
            submissions.c.owner,
            submissions.c.name,
            submissions.c.version,
            submissions.c.words,
            submissions.c.trigger_words,
            *WEIGHT_COLUMNS,
        )
        .join(submissions)
        .where(fusion_concepts.c.fusion.in_(ids))
        .order_by(fusion_concepts.c.fusion, fusion_concepts.c.position)
    )
    found: dict[str, list[VersionConcept]] = defaultdict(list)
    for row in rows:
        concept = VersionConcept(
            f"{row.owner}/{row.name}",
            row.version,
            read_weights(row),
            tuple(row.words.split()),
            row.trigger_words,
        )
        found[row.fusion].append(concept)
    return found
