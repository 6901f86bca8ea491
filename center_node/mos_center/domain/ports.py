"""What the use cases need from the world: a database, a blob store, a queue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from mos_protocol.errors import MosError
from mos_protocol.names import Digest

from mos_center.domain.access import Visibility
from mos_center.domain.audits import AuditPlan, ConceptAudit
from mos_center.domain.events import AuditEntry, AuditEvent, Checkpoint, Event
from mos_center.domain.idempotency import RememberedAnswer
from mos_center.domain.jobs import Attempt, Job
from mos_center.domain.lineage import (
    AliasMove,
    HeldByConcept,
    HeldByVersion,
    Ingredient,
    VersionRef,
)
from mos_center.domain.members import Invitation, Member, SessionRecord, TokenRecord
from mos_center.domain.models import (
    BaseRecord,
    ConceptRecord,
    Fusion,
    FusionPlan,
    ModelVersion,
    PlannedConcept,
    PublishedFile,
    StoredFile,
    Submission,
)
from mos_center.domain.policy import Usage
from mos_center.domain.queries import ConceptQuery, ModelQuery
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.domain.webhooks import Delivery, Webhook


class BlobWriter(Protocol):
    """Takes one blob's bytes; nothing is in the store before `commit`."""

    def write(self, data: bytes) -> None:
        """Append; raises `WrongContent` when more than the announced size arrives."""

    def verify(self) -> None:
        """Make the bytes durable and check them; raises `WrongContent` or `Incomplete`."""

    def commit(self) -> None:
        """Verify, then put the blob into the store, atomically."""

    def abort(self) -> None:
        """Forget the bytes; does nothing after `commit`."""


@dataclass(frozen=True)
class StoredBlob:
    """A blob that is in the store since `changed`."""

    digest: Digest
    size: int
    changed: datetime


class BlobStore(Protocol):
    """Files by content. Thread-safe."""

    def put_file(self, path: Path, digest: Digest) -> None:
        """Copy a file in, atomically; raises `WrongContent`; does nothing when it is there."""

    def begin(self, digest: Digest, size: int) -> BlobWriter:
        """Start to take a blob of `size` bytes piece by piece."""

    def local_path(self, digest: Digest) -> AbstractContextManager[Path]:
        """The blob as a local file, to be read only: `with blobs.local_path(d) as path`."""

    def exists(self, digest: Digest) -> bool:
        """Whether the blob is there."""

    def open(self, digest: Digest, offset: int = 0) -> BinaryIO:
        """Read the blob from `offset`; raises `NotFound`."""

    def size(self, digest: Digest) -> int:
        """Bytes of the blob; raises `NotFound`."""

    def delete(self, digest: Digest) -> None:
        """Remove the blob if it is there. Only for blobs that `Transaction.blobs` released."""

    def presigned_put(self, submission_id: str, digest: Digest, size: int) -> str | None:
        """A URL that takes the bytes directly, or None when this store has none.

        What arrives there is no blob before `receive` has checked it.
        """

    def presigned_get(self, digest: Digest, filename: str, media_type: str) -> str | None:
        """A URL that gives the blob out directly, or None when this store has none."""

    def staged(self, submission_id: str) -> Mapping[Digest, int]:
        """What was sent directly for this submission and not received yet, with its size."""

    def receive(self, submission_id: str, digest: Digest, size: int) -> bool:
        """Make what was sent directly a blob, once it is checked; say whether the blob is there.

        Raises `WrongContent` or `Incomplete`, and then forgets what was sent.
        """

    def discard(self, submission_id: str) -> None:
        """Forget what was sent directly for this submission."""

    def blobs(self) -> Iterator[StoredBlob]:
        """Every blob, in no order; those that come or go meanwhile may be left out."""

    def sweep(self) -> int:
        """Remove what killed processes left on this machine, and say how many files."""

    def forget_uploads(self, before: datetime, *, dry_run: bool = False) -> int:
        """Forget what was sent directly before then and never received; say how much."""


class ActivationReducer(Protocol):
    """Turns recorded activations into second moments, which is all that fusion reads of them."""

    def reduce(self, path: Path, out: Path) -> bool:
        """Write the reduced form of the moments file `path` to `out` when it holds activations.

        Returns whether it did; a file of moments needs nothing. Raises `InvalidPackage`, and
        `LeftToWorkers` when activations can't be reduced in this process.
        """


class FusionQueue(Protocol):
    """Hands jobs to the workers. Both calls are idempotent.

    What gets lost on the way is found by a worker that looks for what is unfinished.
    """

    def enqueue(self, job: Job) -> None:
        """Have the job run, once."""

    def cancel(self, fusion_id: str) -> None:
        """Stop the fusion at its next step."""


class FusionLedger(Protocol):
    """What a worker reads and tells about fusions. Thread-safe; every call is one transaction.

    A fusion that was given to another worker is that one's: what is told with the number of an
    earlier `attempt` is ignored, and can't be published.
    """

    def unfinished(self) -> tuple[Job, ...]:
        """The jobs of the fusions that are queued or running, oldest first."""

    def begin(self, job_id: str) -> Attempt | None:
        """Count a worker's begin with the job; None when it is not to be done (any more).

        A fusion whose workers died too often at the same step fails here.
        """

    def paused(self, fusion_id: str, attempt: int) -> None:
        """Note that its worker stopped in order, which is no death."""

    def plan(self, fusion_id: str) -> FusionPlan:
        """What is to be fused; raises `NotFound`."""

    def package(self, manifest: Digest) -> PlannedConcept | None:
        """The package with this manifest digest; None unless all its files are in the store."""

    def started(self, fusion_id: str) -> None:
        """Note that work began; again after a restart is fine; `Conflict` once it is finished."""

    def progress(
        self, fusion_id: str, done: int, total: int, message: str, *, attempt: int | None = None
    ) -> bool:
        """Note how far it is, and tell whether it counts: it runs, and this is its attempt."""

    def is_cancelled(self, fusion_id: str) -> bool:
        """Whether someone cancelled it."""

    def publish(
        self,
        fusion_id: str,
        files: Sequence[PublishedFile],
        report: dict[str, object],
        *,
        attempt: int | None = None,
    ) -> int:
        """Publish the files (already in the store) as the model's next version; return it.

        Again: the same version. Raises `Conflict` when the fusion was cancelled or failed or is
        another attempt's, and `Unavailable` when a file is not in the store: put the files again,
        then publish again.
        """

    def failed(self, fusion_id: str, error: MosError, *, attempt: int | None = None) -> None:
        """Note why it failed; ignored when it is finished or another attempt's."""

    def lost(self, job_id: str) -> None:
        """Have the fusion fail whose job ended without telling how; ignored after a retry."""


class AuditLedger(Protocol):
    """What a worker reads and tells about audits. Thread-safe; every call is one transaction."""

    def unfinished(self) -> tuple[Job, ...]:
        """The jobs of the audits that are queued or running, oldest first."""

    def begin(self, audit_id: str) -> AuditPlan | None:
        """What is to be audited; None when it is not to be done (any more)."""

    def done(self, audit_id: str, result: Mapping[str, object]) -> None:
        """Write down what came of it; ignored when it is finished."""

    def failed(self, audit_id: str, error: MosError) -> None:
        """Note why it failed; ignored when it is finished."""


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

    def replace_file(self, submission_id: str, path: str, digest: Digest) -> None:
        """Have `path` mean another stored file."""

    def forget_files(self, submission_id: str) -> tuple[Digest, ...]:
        """Drop its references to files and return the digests."""

    def get(self, submission_id: str) -> Submission | None: ...

    def by_manifest(self, digest: Digest) -> Submission | None: ...

    def by_version(self, owner: str, name: str, version: int) -> Submission | None: ...

    def last_version(
        self, owner: str, name: str, states: Iterable[SubmissionState] | None = None
    ) -> int:
        """The concept's highest version (of those in `states`), 0 when it has none."""

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

    def of_concept(self, owner: str, name: str) -> tuple[Submission, ...]:
        """All of one concept, newest first."""


class Concepts(Protocol):
    """Concepts over all their versions: who may see them."""

    def get(self, owner: str, name: str) -> ConceptRecord | None: ...

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
        *,
        states: Iterable[FusionState],
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

    def versions(self, model: str, *, viewer: str | None) -> tuple[ModelVersion, ...]:
        """Those that `viewer` may read, newest first."""

    def newest(self, models: Iterable[str], *, viewer: str | None) -> dict[str, int]:
        """Each model's newest version that `viewer` may read; tombstoned only without others."""

    def predecessor(self, model: str, version: int, *, viewer: str | None) -> int | None:
        """The highest version below this one that `viewer` may read."""

    def get(self, model: str, version: int) -> ModelVersion | None: ...

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


class Lineages(Protocol):
    """What is made of what."""

    def ingredients(self, fusion_id: str) -> tuple[Ingredient, ...]:
        """The concepts of a fusion in its order, as they stand now."""

    def approved(self, fusion_ids: Iterable[str]) -> dict[str, int]:
        """How many concepts of each fusion are approved now; none: not in the answer."""

    def unfinished_with(self, submission_id: str) -> tuple[str, ...]:
        """Ids of the queued and running fusions that contain a concept version."""

    def version_of(self, fusion_id: str) -> VersionRef | None:
        """What the fusion was published as."""

    def refusions(self, fusion_id: str) -> tuple[VersionRef, ...]:
        """The versions that repeat the fusion without withdrawn concepts, oldest first."""

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


class Members(Protocol):
    """Who takes part."""

    def add(self, member: Member) -> None:
        """Add a member whose name is new; raises `Conflict`."""

    def get(self, name: str) -> Member | None: ...

    def all(self) -> tuple[Member, ...]:
        """Every member, by name."""

    def update(self, member: Member) -> None:
        """Write role, trust, quota, and whether it is disabled."""


class Tokens(Protocol):
    """Issued API tokens, and the browser sessions opened with them."""

    def add(self, token: TokenRecord) -> None:
        """Add it; raises `Conflict` when the member has one of that name."""

    def by_sha256(self, sha256: str) -> TokenRecord | None: ...

    def get(self, token_id: str) -> TokenRecord | None: ...

    def find(self, member: str | None = None) -> tuple[TokenRecord, ...]:
        """Those of one member, or all; by member and name."""

    def any(self) -> bool:
        """Whether a token was ever issued, revoked ones included."""

    def revoke(self, token_id: str, at: datetime) -> None:
        """Revoke the token and close its browser sessions."""

    def used(self, token_id: str, at: datetime) -> None:
        """Note when it was last used."""

    def open_session(self, session: SessionRecord) -> None: ...

    def session(self, sha256: str) -> SessionRecord | None: ...

    def close_session(self, sha256: str) -> None: ...

    def close_sessions(self, member: str) -> None:
        """Close every browser session of a member."""


class Invitations(Protocol):
    """Join tokens."""

    def add(self, invitation: Invitation) -> None: ...

    def by_sha256(self, sha256: str) -> Invitation | None: ...

    def get(self, invitation_id: str) -> Invitation | None: ...

    def open(self) -> tuple[Invitation, ...]:
        """Those that were not used, newest first."""

    def use(self, invitation_id: str, member: str, at: datetime) -> bool:
        """Note who joined with it; False when somebody had joined with it before."""

    def remove(self, invitation_id: str) -> None: ...


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


class AuditLog(Protocol):
    """The append-only log of changes, chained by hashes."""

    def record(self, event: AuditEvent) -> None:
        """Append an entry, with the time and the id of the request that is being answered."""

    def last(self) -> Checkpoint:
        """How far the log goes."""

    def entries(self, *, after: int = 0, limit: int) -> tuple[AuditEntry, ...]:
        """Oldest first, only numbers above `after`."""


class Outbox(Protocol):
    """What subscribers are to be told, and how far that is."""

    def add(self, event: Event) -> None:
        """Have the event delivered to who subscribed, once this transaction has ended."""

    def send(self, event: Event, webhook_ids: Iterable[str]) -> str:
        """Have it delivered to these webhooks, whatever they subscribed to; return its id."""

    def due(self, now: datetime, limit: int) -> tuple[Delivery, ...]:
        """Deliveries that wait for their next attempt, those that wait longest first."""

    def begin_attempt(self, delivery: Delivery, next_at: datetime) -> None:
        """Count an attempt; nobody else makes one before `next_at`."""

    def end_attempt(self, delivery: Delivery) -> None:
        """Write how its last attempt ended, unless another one has begun meanwhile."""

    def deliveries(
        self, webhook_id: str, *, before: str | None = None, limit: int
    ) -> tuple[Delivery, ...]:
        """A webhook's deliveries, newest event first, only event ids below `before`."""

    def prune(self, before: datetime) -> int:
        """Forget events from before then that nobody waits for; return how many."""


class Webhooks(Protocol):
    """Subscriptions to events; removed ones are not seen any more."""

    def add(self, webhook: Webhook) -> None: ...

    def get(self, webhook_id: str) -> Webhook | None: ...

    def all(self) -> tuple[Webhook, ...]:
        """Every subscription, newest first."""

    def remove(self, webhook_id: str, at: datetime) -> None:
        """Deliver nothing to it any more."""


class WebhookSender(Protocol):
    """Sends one delivery over the network."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """POST it once; raises `DeliveryFailed` unless it was taken."""


class IdempotencyKeys(Protocol):
    """Answers to requests that came with a key, by caller and key."""

    def get(self, caller: str, key: str) -> RememberedAnswer | None: ...

    def begin(self, caller: str, key: str, request: str, at: datetime) -> None:
        """Note that the request is being answered, in place of what was known of the key."""

    def answer(
        self, caller: str, key: str, began_at: datetime, status: int, body: str | None
    ) -> None:
        """Remember the answer to the request that began at `began_at`, if it is still that one."""

    def forget(self, caller: str, key: str, began_at: datetime) -> None:
        """Have the key free again, if it is still that request's."""

    def prune(self, before: datetime) -> int:
        """Forget keys from before then; return how many."""


class Counts(Protocol):
    """How much there is, for those who watch a center."""

    def submissions(self) -> dict[SubmissionState, int]:
        """Submissions by state; states without any may be left out."""

    def fusions(self) -> dict[FusionState, int]:
        """Fusions by state; states without any may be left out."""

    def oldest_queued(self) -> datetime | None:
        """When the fusion that waits longest was requested; None when none waits."""


class Transaction(Protocol):
    """All repositories, within one transaction."""

    @property
    def bases(self) -> Bases: ...
    @property
    def submissions(self) -> Submissions: ...
    @property
    def fusions(self) -> Fusions: ...
    @property
    def models(self) -> Models: ...
    @property
    def aliases(self) -> Aliases: ...
    @property
    def lineage(self) -> Lineages: ...
    @property
    def usages(self) -> Usages: ...
    @property
    def concepts(self) -> Concepts: ...
    @property
    def members(self) -> Members: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def invitations(self) -> Invitations: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def audits(self) -> ConceptAudits: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def idempotency(self) -> IdempotencyKeys: ...
    @property
    def counts(self) -> Counts: ...


class Database(Protocol):
    """Opens transactions. Thread-safe."""

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent view."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that commits at the end and rolls back when an error leaves it."""

    def note(self) -> AbstractContextManager[Transaction]:
        """As `write`, for a remark that nothing depends on: it need not wait for writers."""
