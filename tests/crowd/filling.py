"""Fills an empty database with the crowd."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from mos_center.domain.ports import BlobStore
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.storage import tables
from mos_center.storage.database import SqlDatabase, writing
from mos_protocol.names import Digest
from PIL import Image
from sqlalchemy import Connection, Table

from crowd import compositions, concepts, log, models, people
from crowd.people import ADMIN, CURATOR, MEMBER, token_of
from crowd.rows import Chance, Row, write

__all__ = ["ADMIN", "CURATOR", "MEMBER", "Crowd", "fill_crowd"]

T = TypeVar("T")
# Packages and versions share their files: as many as pages need to be there.
BLOBS = 300
CARD = "# A model of the crowd\n\nIt knows a few concepts.\n\n- one\n- two\n"


@dataclass(frozen=True)
class Crowd:
    """What to look at: people log in with `token_of`, the rest are parts of addresses.

    The lists are keys from which pages of a long list begin: in the middle, and near the end. Of
    the compositions, all of one member, the newest comes first.
    """

    concept: str
    submission: str
    running: str
    failed: str
    published: str
    model: str
    evaluation: str
    compositions: tuple[str, str, str]
    submissions: tuple[str, str]
    fusions: tuple[str, str]
    models: tuple[str, str]
    entries: tuple[str, str]
    members: tuple[str, str]

    def token_of(self, member: str) -> str:
        return token_of(member)


def fill_crowd(database: SqlDatabase, store: BlobStore, scale: float = 1.0) -> Crowd:
    """Write all rows, and the few files that pages show. `scale`: 0.01 has 100 concepts."""
    chance = Chance(0, datetime.now(UTC))
    crew = people.names(max(10, int(300 * scale)))
    owned = concepts.draw_versions(chance, crew, int(10_000 * scale))
    count = int(1_000 * scale)
    fused = models.draw_fusions(chance, owned, crew, count)
    picture, card = _put(store, _picture()), _put(store, CARD.encode())
    blobs: list[str] = [_put(store, f"file {number}".encode()) for number in range(BLOBS)]
    with writing(database.engine) as connection:
        _write_people(connection, chance, crew, fused)
        write(connection, tables.blobs, ({"sha256": one} for one in (*blobs, picture, card)))
        _write_concepts(connection, chance, owned, crew, blobs, picture)
        _write_models(connection, chance, fused, count, (blobs, picture, card))
        evaluation = _write_evaluations(connection, chance, fused, picture)
        drawn = _write_compositions(connection, chance, fused, picture)
        entries = log.audit_rows(chance, crew, owned, fused, int(100_000 * scale))
        write(connection, tables.audit_log, entries)
    with database.engine.connect() as connection:
        # As it is after a while: SQLite never, PostgreSQL soon looks by itself.
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")
    return _landmarks(owned, fused, crew, int(100_000 * scale), evaluation, drawn)


def _write_people(
    connection: Connection, chance: Chance, crew: list[str], fused: list[models.Fused]
) -> None:
    running = _first(fused, lambda one: one.state is FusionState.RUNNING).id
    write(connection, tables.members, people.member_rows(chance, crew))
    write(connection, tables.api_tokens, people.token_rows(chance, crew))
    write(connection, tables.invitations, people.invitation_rows(chance, crew))
    write(connection, tables.workers, people.worker_rows(chance, running))


def _write_concepts(
    connection: Connection,
    chance: Chance,
    owned: list[concepts.Version],
    crew: list[str],
    blobs: list[str],
    picture: str,
) -> None:
    bases = list(concepts.base_rows(chance))
    digests = {base["name"]: base["digest"] for base in bases}
    packages = concepts.Packages(chance, blobs, picture)
    files: list[Row] = []

    def rows() -> Iterator[Row]:
        for version in owned:
            word = f"{version.owner}-{version.name}"
            manifest, listed = packages.manifest(version, word, digests[version.base])
            if version.state is not SubmissionState.REJECTED:
                files.extend({"submission": version.id, "path": file.path, "sha256": file.sha256}
                             for file in listed)  # fmt: skip
            size = sum(file.size for file in listed)
            yield concepts.submission_row(version, manifest, size)

    write(connection, tables.bases, bases)
    write(connection, tables.submissions, rows())
    write(connection, tables.submission_files, files)
    shown = concepts.concept_rows(chance, owned)
    write(connection, tables.concepts, shown)
    write(connection, tables.concept_shares, concepts.share_rows(chance, shown, crew))


def _write_models(
    connection: Connection,
    chance: Chance,
    fused: list[models.Fused],
    count: int,
    files: tuple[list[str], str, str],
) -> None:
    published = [one for one in fused if one.number is not None]
    # Those that somebody still looks at.
    telling = fused[-400:]
    owners = {one.model: one for one in published}

    def all_of(rows: Callable[[T], Iterator[Row]], items: list[T]) -> Iterator[Row]:
        return (row for item in items for row in rows(item))

    def write_all(table: Table, rows: Callable[[models.Fused], Iterator[Row]],
                  items: list[models.Fused]) -> None:  # fmt: skip
        write(connection, table, all_of(rows, items))

    write(connection, tables.fusions, map(models.fusion_row, fused))
    write_all(tables.fusion_concepts, models.concept_rows, fused)
    write_all(tables.fusion_events, lambda one: models.event_rows(chance, one), telling)
    write(connection, tables.models, ({"name": one.model, "owner": one.by, "created_at": one.at}
                                      for one in owners.values()))  # fmt: skip
    write(connection, tables.model_versions, (models.version_row(chance, one) for one in published))
    write_all(tables.version_files, lambda one: models.file_rows(chance, one, *files), published)
    write(connection, tables.aliases, models.alias_rows(chance, count))


def _write_evaluations(
    connection: Connection, chance: Chance, fused: list[models.Fused], picture: str
) -> str:
    """Evaluate the newest versions; returns the id of the last one's."""
    newest = [one for one in fused if one.number == models.VERSIONS][-100:]
    rows = [models.evaluation_row(chance, one) for one in newest]
    write(connection, tables.evaluations, rows)
    write(connection, tables.evaluation_grids,
          (grid for row, one in zip(rows, newest, strict=True)
           for grid in models.grid_rows(row, one, picture)))  # fmt: skip
    return str(rows[-1]["id"])


def _write_compositions(
    connection: Connection, chance: Chance, fused: list[models.Fused], picture: str
) -> tuple[str, str, str]:
    """Have scenes drawn; returns ids of the newest, one in the middle and one of the oldest."""
    rows = compositions.composition_rows(chance, fused)
    write(connection, tables.compositions, rows)
    pictures = (one for row in rows[-200:] for one in compositions.picture_rows(row, picture))
    write(connection, tables.composition_pictures, pictures)
    ids = [str(row["id"]) for row in rows]
    return ids[-1], *_middle_and_end(sorted(ids, reverse=True))


def _landmarks(
    owned: list[concepts.Version],
    fused: list[models.Fused],
    crew: list[str],
    entries: int,
    evaluation: str,
    drawn: tuple[str, str, str],
) -> Crowd:
    shown = _first(owned, lambda one: one.owner == MEMBER and one.state is SubmissionState.APPROVED)
    newest = [one for one in fused if one.number == models.VERSIONS][-1]
    return Crowd(
        concept=f"{shown.owner}/{shown.name}/{shown.number}",
        submission=shown.id,
        running=_first(fused, lambda one: one.state is FusionState.RUNNING).id,
        failed=_first(fused, lambda one: one.state is FusionState.FAILED).id,
        published=newest.id,
        model=newest.model,
        evaluation=evaluation,
        compositions=drawn,
        submissions=_middle_and_end(sorted((one.id for one in owned), reverse=True)),
        fusions=_middle_and_end(sorted((one.id for one in fused), reverse=True)),
        models=_middle_and_end(sorted({one.model for one in fused})),
        entries=(str(entries // 2), "5"),
        members=_middle_and_end(sorted(crew)),
    )


def _middle_and_end(keys: list[str]) -> tuple[str, str]:
    return keys[len(keys) // 2], keys[-5]


def _first(items: list[T], wanted: Callable[[T], bool]) -> T:
    return next(item for item in items if wanted(item))


def _put(store: BlobStore, content: bytes) -> Digest:
    """Put a blob into the store."""
    digest = Digest(hashlib.sha256(content).hexdigest())
    with store.begin(digest, len(content)) as writer:
        writer.write(content)
        writer.commit()
    return digest


def _picture() -> bytes:
    """Three pictures side by side, as hard to pack as photographs."""
    draw = random.Random(0)
    coarse = Image.frombytes("RGB", (48, 16), draw.randbytes(48 * 16 * 3))
    grain = Image.frombytes("RGB", (1536, 512), draw.randbytes(1536 * 512 * 3))
    smooth = coarse.resize((1536, 512), Image.Resampling.BICUBIC)
    with io.BytesIO() as file:
        Image.blend(smooth, grain, 0.04).save(file, "PNG")
        return file.getvalue()
