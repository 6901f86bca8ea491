"""What hands jobs to workers, and what workers read and tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mos_protocol.errors import MosError
from mos_protocol.names import Digest

from mos_center.domain.audits import AuditPlan
from mos_center.domain.fusion_events import PlannedStep
from mos_center.domain.jobs import Attempt, Job
from mos_center.domain.models import (
    FusionPlan,
    PlannedConcept,
    PublishedFile,
)


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

    def begin(self, job_id: str, *, executor: str = "") -> Attempt | None:
        """Count a worker's begin with the job; None when it is not to be done (any more).

        `executor` is the worker's name. A fusion whose workers died too often at the same step
        fails here.
        """

    def paused(self, fusion_id: str, attempt: int) -> None:
        """Note that its worker stopped in order, which is no death."""

    def plan(self, fusion_id: str) -> FusionPlan:
        """What is to be fused; raises `NotFound`."""

    def package(self, manifest: Digest) -> PlannedConcept | None:
        """The package with this manifest digest; None unless all its files are in the store."""

    def started(self, fusion_id: str) -> None:
        """Note that work began; again after a restart is fine; `Conflict` once it is finished."""

    def planned(self, fusion_id: str, steps: Sequence[PlannedStep], *, attempt: int) -> None:
        """Note all steps of the attempt in order, once; ignored when it does not count."""

    def progress(
        self, fusion_id: str, done: int, total: int, message: str, *, attempt: int | None = None
    ) -> bool:
        """Note how far it is and which step begins, named by `message`.

        Tells whether that counts: the fusion runs, and this is its attempt.
        """

    def step_done(
        self,
        fusion_id: str,
        step: str,
        seconds: float,
        finding: Mapping[str, object] | None = None,
        *,
        attempt: int,
    ) -> None:
        """Note that a step ended, and what it found as plain data; ignored when it doesn't count.

        The last step ends with `publish` and is not told here.
        """

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
