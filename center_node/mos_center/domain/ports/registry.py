"""Repositories of bases, concepts, fusions and models, and of the files they refer to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from mos_protocol.names import ConceptRef, Digest

from mos_center.domain.access import Visibility
from mos_center.domain.audits import ConceptAudit
from mos_center.domain.fusion_events import FusionEvent, FusionEventKind
from mos_center.domain.jobs import Job
from mos_center.domain.lineage import (
    AliasHistory,
    AliasMove,
    HeldByConcept,
    HeldByVersion,
    Ingredient,
    VersionRef,
)
from mos_center.domain.models import (
    BaseRecord,
    ConceptRecord,
    Fusion,
    ModelVersion,
    StoredFile,
    Submission,
)
from mos_center.domain.policy import Usage
from mos_center.domain.queries import ConceptQuery, FusionQuery, ModelQuery
from mos_center.domain.states import FusionState, SubmissionState


class Bases(Protocol):
    """Registered base models."""

    def add(self, base: BaseRecord, prior: Mapping[str, StoredFile], created_at: datetime) -> None:
        """Add a base whose name and digest are new."""

    def measure(self, name: str, statistics: Mapping[str, Mapping[str, float]]) -> None:
        """Write down what its weights and inputs measure."""

    def get(self, name: str) -> BaseRecord | None: ...

    def by_digest(self, digest: str) -> BaseRecord | None: ...

    def all(self) -> tuple[BaseRecord, ...]:
        """Every base, by name."""

    def prior(self, name: str) -> dict[str, StoredFile]:
        """The prior moments' blob of each block."""


class Submissions(Protocol):
    """Concept packages and the files that each refers to."""

    def add(self, submission: Submission) -> None:
        """Add it, with references to every file of its manifest."""

    def update(self, submission: Submission) -> None:
        """Write state, version and reason."""

    def touch(self, submission_id: str, at: datetime) -> None:
        """Note that its sender is still at it."""

    def untouched(self, before: datetime) -> tuple[str, ...]:
        """Ids of those that are being uploaded and that nobody has touched since then."""

    def refer(self, submission: Submission) -> None:
        """Refer to every file of its manifest again, after `forget_files`."""

    def files(self, submission_id: str) -> dict[str, Digest]:
        """The stored file of each path; another than the manifest's where it was reduced."""

    def files_of(self, ids: Collection[str]) -> dict[str, dict[str, Digest]]:
        """The same of many: every one of `ids`, and the stored file of each of its paths."""

    def replace_file(self, submission_id: str, path: str, digest: Digest) -> None:
        """Have `path` mean another stored file."""

    def forget_files(self, submission_id: str) -> tuple[Digest, ...]:
        """Drop its references to files and return the digests."""

    def get(self, submission_id: str) -> Submission | None: ...

    def by_manifest(self, digest: Digest) -> Submission | None: ...

    def by_version(self, owner: str, name: str, version: int) -> Submission | None: ...

    def named(
        self, refs: Collection[ConceptRef], *, viewer: str | None
    ) -> dict[ConceptRef, Submission]:
        """The versions named, as far as `viewer` may see them (see `find`).

        A reference without a version means the newest approved one.
        """

    def last_version(self, owner: str, name: str) -> int:
        """The concept's highest version, 0 when it has none."""

    def find(
        self,
        *,
        states: Iterable[SubmissionState],
        viewer: str | None,
        query: ConceptQuery = ...,
        before: str | None = None,
        limit: int,
    ) -> tuple[Submission, ...]:
        """In the query's order, `limit` at most, only what follows the one with the id `before`.

        `viewer` sees its own, and what others show once it was approved; None sees everything.
        """

    def of_concept(
        self, owner: str, name: str, *, states: Iterable[SubmissionState], limit: int | None = None
    ) -> tuple[Submission, ...]:
        """Those of one concept in these states, newest first."""


class Concepts(Protocol):
    """Concepts over all their versions: who may see them."""

    def get(self, owner: str, name: str) -> ConceptRecord | None: ...

    def visibilities(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Visibility]:
        """Who sees each of the concepts, by owner and name."""

    def add(self, concept: ConceptRecord) -> None:
        """Add it; does nothing when it is known."""

    def show(self, owner: str, name: str, visibility: Visibility) -> None:
        """Change who sees it."""

    def share(self, owner: str, name: str, member: str) -> None:
        """Let a member see it while it is shared; again is fine."""

    def unshare(self, owner: str, name: str, member: str) -> None:
        """Take that back."""


class Fusions(Protocol):
    """Requested fusions."""

    def add(self, fusion: Fusion) -> None:
        """Add it; raises `Conflict` when the same build is queued, running or published."""

    def update(self, fusion: Fusion) -> None:
        """Write state, progress, error, version and end."""

    def get(self, fusion_id: str) -> Fusion | None: ...

    def by_build(self, model: str, build: Digest) -> Fusion | None:
        """The fusion of this build that is queued, running or published."""

    def find(
        self,
        query: FusionQuery,
        *,
        viewer: str | None,
        before: str | None = None,
        limit: int,
    ) -> tuple[Fusion, ...]:
        """Newest first, `limit` at most, only ids below `before`, that `viewer` may read."""

    def is_readable(self, fusion_id: str, viewer: str | None) -> bool:
        """Whether `viewer` requested it or may see every concept in it; None sees everything."""

    def jobs(self, states: Iterable[FusionState]) -> tuple[Job, ...]:
        """The jobs of all in these states, in the order of their requests."""

    def queue_positions(self, ids: Collection[str]) -> dict[str, int]:
        """The place in the queue of those that are queued, from 1."""


class FusionEvents(Protocol):
    """What happened to each fusion; only ever added to."""

    def add(
        self,
        fusion: Fusion,
        kind: FusionEventKind,
        step: str = "",
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Add an event with the fusion's next number, the time, and its attempt as it stands."""

    def of(self, fusion_id: str, *, after: int = 0, limit: int) -> tuple[FusionEvent, ...]:
        """Oldest first, only numbers above `after`."""


class Models(Protocol):
    """Published model versions."""

    def names(self, *, viewer: str | None, after: str | None = None, limit: int) -> tuple[str, ...]:
        """Models of which `viewer` may read a version, in alphabetical order."""

    def owner(self, model: str) -> str | None:
        """Who first requested the model, "" for the curators'; None when nobody did."""

    def claim(self, model: str, owner: str, at: datetime) -> None:
        """Give the name to `owner`; does nothing when it is taken."""

    def find(
        self,
        query: ModelQuery,
        *,
        viewer: str | None,
        after: str | None = None,
        limit: int,
    ) -> tuple[ModelVersion, ...]:
        """The newest version of each model that `viewer` may read and that fits the query.

        Tombstoned ones only where a model has no other; only what follows the model `after`.
        """

    def versions(
        self,
        model: str,
        *,
        viewer: str | None,
        before: int | None = None,
        limit: int | None = None,
    ) -> tuple[ModelVersion, ...]:
        """Those that `viewer` may read, newest first, only numbers below `before`."""

    def newest(self, models: Iterable[str], *, viewer: str | None) -> dict[str, int]:
        """Each model's newest version that `viewer` may read; tombstoned only without others."""

    def predecessor(self, model: str, version: int, *, viewer: str | None) -> int | None:
        """The highest version below this one that `viewer` may read."""

    def successor(self, model: str, version: int, *, viewer: str | None) -> int | None:
        """The lowest version above this one that `viewer` may read."""

    def get(self, model: str, version: int, *, viewer: str | None = None) -> ModelVersion | None:
        """The version if `viewer` may read it; None reads everything."""

    def report(
        self, model: str, version: int, entries: Collection[str] | None = None
    ) -> dict[str, object]:
        """The report it was published with, or these entries of it; {} when there is none."""

    def last_version(self, model: str) -> int:
        """The highest version, 0 when there is none."""

    def by_commit(self, model: str, commit: str) -> int | None:
        """The version that `commit` stands for (see `ModelVersion.commit`)."""

    def add(self, version: ModelVersion, report: Mapping[str, object]) -> None:
        """Add a version; a fusion has at most one, and a number is given once."""

    def with_concept(
        self, submission_id: str, *, viewer: str | None, before: str | None = None, limit: int
    ) -> tuple[ModelVersion, ...]:
        """Those that contain a concept version, newest first; `before` is a fusion's id."""

    def tombstone(self, model: str, version: int, at: datetime, reason: str) -> None:
        """Note that the version's files are not given out any more."""

    def expirable(self, before: datetime) -> tuple[VersionRef, ...]:
        """Published before then, without alias, and not their model's newest given out."""

    def tombstoned(self, before: datetime) -> tuple[VersionRef, ...]:
        """Tombstoned before then, and still with references to files."""

    def forget_files(self, model: str, version: int) -> tuple[Digest, ...]:
        """Drop the version's references to files and return the digests."""


class Aliases(Protocol):
    """The names that point at model versions, and how they moved."""

    def get(self, model: str, alias: str) -> int | None: ...

    def move(self, move: AliasMove) -> None:
        """Create, move or remove (`version` None) the alias, and remember that."""

    def moves(
        self, model: str, alias: str, *, before: str | None = None, limit: int
    ) -> tuple[AliasMove, ...]:
        """Newest first, only ids below `before`."""

    def of_model(self, model: str, *, limit: int, moves: int) -> tuple[AliasHistory, ...]:
        """At most `limit` aliases by name, removed ones last, each with its newest moves."""


class Lineages(Protocol):
    """What is made of what."""

    def ingredients(self, fusion_id: str, *, viewer: str | None = None) -> tuple[Ingredient, ...]:
        """The concepts of a fusion in its order, as they stand now for `viewer`."""

    def approved(self, fusion_ids: Iterable[str]) -> dict[str, int]:
        """How many concepts of each fusion are approved now; none: not in the answer."""

    def unfinished_with(self, submission_id: str) -> tuple[str, ...]:
        """Ids of the queued and running fusions that contain a concept version."""

    def version_of(self, fusion_id: str) -> VersionRef | None:
        """What the fusion was published as."""

    def refusions(self, fusion_id: str) -> tuple[VersionRef, ...]:
        """The versions that repeat the fusion without withdrawn concepts, oldest first."""

    def tombstoned(self, refs: Iterable[VersionRef]) -> frozenset[VersionRef]:
        """Those of these versions that are tombstoned."""

    def concepts_with(self, digest: Digest, *, viewer: str | None) -> tuple[HeldByConcept, ...]:
        """Concept versions that `viewer` may see with this file or manifest."""

    def versions_with(self, digest: Digest, *, viewer: str | None) -> tuple[HeldByVersion, ...]:
        """Model versions that `viewer` may read with this file."""


class ConceptAudits(Protocol):
    """Audits of concepts' statistics."""

    def add(self, audit: ConceptAudit) -> None: ...

    def update(self, audit: ConceptAudit) -> None:
        """Write state, result and end."""

    def get(self, audit_id: str) -> ConceptAudit | None: ...

    def of(self, submission_id: str) -> tuple[ConceptAudit, ...]:
        """Those of one package, newest first."""

    def unfinished(self) -> tuple[str, ...]:
        """Ids of those that are queued or running, oldest first."""


class Usages(Protocol):
    """How much each member has."""

    def of(self, member: str) -> Usage:
        """Its packages but for rejected and withdrawn ones, and its unfinished fusions."""

    def of_many(self, members: Collection[str]) -> dict[str, Usage]:
        """What each of these members has, nothing included."""


class Blobs(Protocol):
    """Which blobs are referred to, by whatever."""

    def release(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """Of `digests`, those that nothing refers to any more; the caller deletes their files.

        Until the transaction ends, nobody else can refer to them.
        """

    def collect(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """As `release`, but for digests too that were never referred to."""

    def unreferred(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """Of `digests`, those that nothing refers to now, in order."""

    def needed(self) -> dict[Digest, bool]:
        """Every digest referred to, and whether its blob must be there: of unfinished uploads it
        need not.
        """
