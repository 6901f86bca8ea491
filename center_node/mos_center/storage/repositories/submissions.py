"""Concept packages and the files that each refers to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from mos_protocol.manifest import Manifest, parse_manifest
from mos_protocol.names import ConceptRef, Digest
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from mos_center.domain.models import Submission
from mos_center.domain.queries import ConceptQuery, Order
from mos_center.domain.states import SubmissionState
from mos_center.storage.repositories.readable import concept_has_visibility, submission_is_listed
from mos_center.storage.repositories.references import know_blobs
from mos_center.storage.tables import Utc, submission_files, submissions

EVERYTHING = ConceptQuery()


class SqlSubmissions:
    """Implements `domain.ports.Submissions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, submission: Submission) -> None:
        manifest = submission.manifest
        self._connection.execute(
            insert(submissions).values(
                id=submission.id,
                manifest_digest=submission.manifest_digest,
                manifest=manifest.to_bytes().decode(),
                owner=submission.owner,
                name=submission.name,
                version=submission.version,
                words=" ".join(manifest.words),
                trigger_words=manifest.trigger,
                class_word=manifest.class_word,
                base=submission.base,
                state=submission.state,
                reason=submission.reason,
                created_at=submission.created_at,
                submitted_by=submission.submitted_by,
                bytes=submission.size,
            )
        )
        self.refer(submission)

    def update(self, submission: Submission) -> None:
        self._connection.execute(
            update(submissions)
            .where(submissions.c.id == submission.id)
            .values(
                state=submission.state,
                version=submission.version,
                reason=submission.reason,
                withdrawn_at=submission.withdrawn_at,
            )
        )

    def touch(self, submission_id: str, at: datetime) -> None:
        self._connection.execute(
            update(submissions).where(submissions.c.id == submission_id).values(touched_at=at)
        )

    def untouched(self, before: datetime) -> tuple[str, ...]:
        touched = func.coalesce(submissions.c.touched_at, submissions.c.created_at, type_=Utc())
        query = select(submissions.c.id).where(
            submissions.c.state == SubmissionState.UPLOADING, touched < before
        )
        return tuple(self._connection.scalars(query.order_by(submissions.c.id)))

    def refer(self, submission: Submission) -> None:
        files = submission.manifest.files
        know_blobs(self._connection, [entry.sha256 for entry in files])
        self._connection.execute(
            insert(submission_files),
            [
                {"submission": submission.id, "path": entry.path, "sha256": entry.sha256}
                for entry in files
            ],
        )

    def files(self, submission_id: str) -> dict[str, Digest]:
        rows = self._connection.execute(
            select(submission_files)
            .where(submission_files.c.submission == submission_id)
            .order_by(submission_files.c.path)
        )
        return {row.path: Digest(row.sha256) for row in rows}

    def files_of(self, ids: Collection[str]) -> dict[str, dict[str, Digest]]:
        rows = self._connection.execute(
            select(submission_files).where(submission_files.c.submission.in_(sorted(ids)))
        )
        found: dict[str, dict[str, Digest]] = {submission: {} for submission in ids}
        for row in rows:
            found[row.submission][row.path] = Digest(row.sha256)
        return found

    def replace_file(self, submission_id: str, path: str, digest: Digest) -> None:
        know_blobs(self._connection, [digest])
        self._connection.execute(
            update(submission_files)
            .where(submission_files.c.submission == submission_id, submission_files.c.path == path)
            .values(sha256=digest)
        )

    def forget_files(self, submission_id: str) -> tuple[Digest, ...]:
        mine = submission_files.c.submission == submission_id
        digests = self._connection.scalars(select(submission_files.c.sha256).where(mine)).all()
        self._connection.execute(delete(submission_files).where(mine))
        return tuple(Digest(sha256) for sha256 in digests)

    def get(self, submission_id: str) -> Submission | None:
        return self._one(submissions.c.id == submission_id)

    def by_manifest(self, digest: Digest) -> Submission | None:
        return self._one(submissions.c.manifest_digest == digest)

    def by_version(self, owner: str, name: str, version: int) -> Submission | None:
        return self._one(
            (submissions.c.owner == owner)
            & (submissions.c.name == name)
            & (submissions.c.version == version)
        )

    def last_version(self, owner: str, name: str) -> int:
        query = select(func.max(submissions.c.version)).where(
            submissions.c.owner == owner, submissions.c.name == name
        )
        return self._connection.scalar(query) or 0

    def named(
        self, refs: Collection[ConceptRef], *, viewer: str | None
    ) -> dict[ConceptRef, Submission]:
        newest = self._newest_approved([ref for ref in refs if ref.version is None])
        keys = {ref: _key(ref, ref.version or newest.get(_name(ref), 0)) for ref in refs}
        rows = self._connection.execute(
            select(submissions).where(
                # By itself: SQLite uses no index for several columns at once.
                submissions.c.owner.in_(sorted({owner for owner, _, _ in keys.values()})),
                tuple_(submissions.c.owner, submissions.c.name, submissions.c.version).in_(
                    sorted(set(keys.values()))
                ),
                submission_is_listed(viewer),
            )
        )
        found = {(row.owner, row.name, row.version): _submission(row) for row in rows}
        return {ref: found[key] for ref, key in keys.items() if key in found}

    def _newest_approved(self, refs: Collection[ConceptRef]) -> dict[tuple[str, str], int]:
        if not refs:
            return {}
        names = {_name(ref) for ref in refs}
        rows = self._connection.execute(
            select(submissions.c.owner, submissions.c.name, func.max(submissions.c.version))
            .where(
                submissions.c.owner.in_(sorted({owner for owner, _ in names})),
                tuple_(submissions.c.owner, submissions.c.name).in_(sorted(names)),
                submissions.c.state == SubmissionState.APPROVED,
            )
            .group_by(submissions.c.owner, submissions.c.name)
        )
        return {(owner, name): version for owner, name, version in rows}

    def find(
        self,
        *,
        states: Iterable[SubmissionState],
        viewer: str | None,
        query: ConceptQuery = EVERYTHING,
        before: str | None = None,
        limit: int,
    ) -> tuple[Submission, ...]:
        # The ids come from an index alone: looking through rows means reading their manifests.
        found = select(submissions.c.id).where(
            submissions.c.state.in_(sorted(states)),
            submission_is_listed(viewer),
            *_conditions(query),
        )
        if before is not None:
            found = found.where(_follows(before, query.order))
        order = _ORDERS[query.order]
        shown = submissions.c.id.in_(found.order_by(*order).limit(limit).scalar_subquery())
        rows = self._connection.execute(select(submissions).where(shown).order_by(*order))
        return tuple(_submission(row) for row in rows)

    def of_concept(
        self, owner: str, name: str, *, states: Iterable[SubmissionState], limit: int | None = None
    ) -> tuple[Submission, ...]:
        rows = self._connection.execute(
            select(submissions)
            .where(
                submissions.c.owner == owner,
                submissions.c.name == name,
                submissions.c.state.in_(sorted(states)),
            )
            .order_by(submissions.c.version.desc(), submissions.c.id.desc())
            .limit(limit)
        )
        return tuple(_submission(row) for row in rows)

    def _one(self, condition: ColumnElement[bool]) -> Submission | None:
        row = self._connection.execute(select(submissions).where(condition)).one_or_none()
        return _submission(row) if row else None


_ORDERS = {
    Order.NEWEST: (submissions.c.id.desc(),),
    Order.NAME: (submissions.c.owner, submissions.c.name, submissions.c.id.desc()),
}


def _name(ref: ConceptRef) -> tuple[str, str]:
    return ref.concept.owner, ref.concept.name


def _key(ref: ConceptRef, version: int) -> tuple[str, str, int]:
    return *_name(ref), version


def _follows(before: str, order: Order) -> ColumnElement[bool]:
    """What comes after the submission with the id `before`."""
    if order is Order.NEWEST:
        return submissions.c.id < before
    last = submissions.alias("last")
    key, last_key = (submissions.c.owner, submissions.c.name), (last.c.owner, last.c.name)
    later = or_(
        tuple_(*key) > tuple_(*last_key),
        and_(tuple_(*key) == tuple_(*last_key), submissions.c.id < last.c.id),
    )
    return exists().where(last.c.id == before, later)


def _conditions(query: ConceptQuery) -> list[ColumnElement[bool]]:
    equal = {
        submissions.c.base: query.base,
        submissions.c.owner: query.owner,
        submissions.c.class_word: query.class_word,
    }
    found = [column == value for column, value in equal.items() if value is not None]
    if query.text:
        full_name = submissions.c.owner + "/" + submissions.c.name
        texts = (full_name, submissions.c.words, submissions.c.class_word)
        found.append(or_(*(text.icontains(query.text, autoescape=True) for text in texts)))
    if query.word is not None:
        words = literal(" ") + submissions.c.words + literal(" ")
        found.append(words.contains(f" {query.word} ", autoescape=True))
    if query.visibility is not None:
        found.append(concept_has_visibility(query.visibility))
    return found


@lru_cache(512)
def _manifest(text: str) -> Manifest:
    """Lists read the same manifests again and again, and none ever changes."""
    return parse_manifest(text.encode())


def _submission(row: Row[*tuple[Any, ...]]) -> Submission:
    return Submission(
        id=row.id,
        manifest=_manifest(row.manifest),
        manifest_digest=Digest(row.manifest_digest),
        base=row.base,
        state=SubmissionState(row.state),
        created_at=row.created_at,
        submitted_by=row.submitted_by,
        version=row.version,
        reason=row.reason,
        withdrawn_at=row.withdrawn_at,
    )
