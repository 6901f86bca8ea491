"""What the use cases need from the world: a database, a blob store, a queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from mos_protocol.errors import MosError
from mos_protocol.names import Digest

from mos_center.domain.models import (
    BaseRecord,
    Fusion,
    FusionPlan,
    ModelVersion,
    PlannedConcept,
    PublishedFile,
    Remembered,
    SessionRecord,
    StoredFile,
    Submission,
    TokenRecord,
)
from mos_center.domain.states import FusionState, SubmissionState


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

    def presigned_put(self, digest: Digest) -> str | None:
        """A URL that takes the bytes directly, or None when this store has none."""


class ActivationReducer(Protocol):
    """Turns recorded activations into second moments, which is all that fusion reads of them."""

    def reduce(self, path: Path, out: Path) -> bool:
        """Write the reduced form of the moments file `path` to `out` when it holds activations.

        Returns whether it did; a file of moments needs nothing. Raises `InvalidPackage`.
        """


class FusionQueue(Protocol):
    """Hands fusions to a worker. Both calls are idempotent."""

    def enqueue(self, fusion_id: str) -> None:
        """Have the fusion run, once."""

    def cancel(self, fusion_id: str) -> None:
        """Stop the fusion at its next step."""


class FusionLedger(Protocol):
    """What a worker reads and tells about fusions. Thread-safe; every call is one transaction."""

    def unfinished(self) -> tuple[str, ...]:
        """Ids of the fusions that are queued or running, oldest first."""

    def plan(self, fusion_id: str) -> FusionPlan:
        """What is to be fused; raises `NotFound`."""

    def package(self, manifest: Digest) -> PlannedConcept | None:
        """The package with this manifest digest; None unless all its files are in the store."""

    def started(self, fusion_id: str) -> None:
        """Note that work began; again after a restart is fine; `Conflict` once it is finished."""

    def progress(self, fusion_id: str, done: int, total: int, message: str) -> None:
        """Note how far it is; ignored unless the fusion runs."""

    def is_cancelled(self, fusion_id: str) -> bool:
        """Whether someone cancelled it."""

    def publish(
        self, fusion_id: str, files: Sequence[PublishedFile], report: dict[str, object]
    ) -> int:
        """Publish the files (already in the store) as the model's next version; return it.

        Again: the same version. Raises `Conflict` when the fusion was cancelled or failed, and
        `Unavailable` when a file is not in the store: put the files again, then publish again.
        """

    def failed(self, fusion_id: str, error: MosError) -> None:
        """Note why it failed; ignored when it is already finished."""


class Bases(Protocol):
    """Registered base models."""

    def add(self, base: BaseRecord, prior: Mapping[str, StoredFile], created_at: datetime) -> None:
        """Add a base whose name and digest are new."""

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
        base: str | None = None,
        owner: str | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> tuple[Submission, ...]:
        """Newest first, `limit` at most, only ids below `before`; `text` is found in names."""


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
        self, *, states: Iterable[FusionState], before: str | None = None, limit: int
    ) -> tuple[Fusion, ...]:
        """Newest first, `limit` at most, only ids below `before`."""

    def with_states(self, states: Iterable[FusionState]) -> tuple[str, ...]:
        """The ids of all in these states, oldest first."""


class Models(Protocol):
    """Published model versions and the aliases that point at them."""

    def names(self, *, after: str | None = None, limit: int) -> tuple[str, ...]: ...

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Newest first."""

    def get(self, model: str, version: int) -> ModelVersion | None: ...

    def last_version(self, model: str) -> int:
        """The highest version, 0 when there is none."""

    def add(self, version: ModelVersion, report: Mapping[str, object]) -> None:
        """Add a version; a fusion has at most one, and a number is given once."""

    def alias(self, model: str, alias: str) -> int | None: ...

    def point(self, model: str, alias: str, version: int) -> None:
        """Create or move an alias."""


class Tokens(Protocol):
    """Issued API tokens."""

    def add(self, token: TokenRecord) -> None: ...

    def by_sha256(self, sha256: str) -> TokenRecord | None: ...

    def get(self, name: str) -> TokenRecord | None: ...

    def all(self) -> tuple[TokenRecord, ...]: ...

    def any(self) -> bool:
        """Whether a token was ever issued, revoked ones included."""

    def revoke(self, name: str, at: datetime) -> None:
        """Revoke the token and close its browser sessions."""

    def open_session(self, session: SessionRecord) -> None: ...

    def session(self, sha256: str) -> SessionRecord | None: ...

    def close_session(self, sha256: str) -> None: ...


class Blobs(Protocol):
    """Which blobs are referred to, by whatever."""

    def release(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """Of `digests`, those that nothing refers to any more; the caller deletes their files.

        Until the transaction ends, nobody else can refer to them.
        """


class Idempotency(Protocol):
    """Idempotency keys, each within the caller that sent it."""

    def get(self, caller: str, key: str) -> Remembered | None: ...

    def add(self, caller: str, key: str, remembered: Remembered, at: datetime) -> None: ...


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
    def tokens(self) -> Tokens: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def idempotency(self) -> Idempotency: ...


class Database(Protocol):
    """Opens transactions. Thread-safe."""

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent view."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that commits at the end and rolls back when an error leaves it."""
