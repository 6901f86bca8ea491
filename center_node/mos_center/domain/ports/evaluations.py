"""Where evaluations are kept, and what workers read and tell about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mos_protocol.errors import MosError
from mos_protocol.names import Digest

from mos_center.domain.evaluations import Evaluation, EvaluationPlan, EvaluationState
from mos_center.domain.jobs import Job
from mos_center.domain.models import StoredFile


class Evaluations(Protocol):
    """Evaluations of model versions, and the grids of pictures of those that are done."""

    def add(self, evaluation: Evaluation) -> None: ...

    def update(self, evaluation: Evaluation) -> None:
        """Write how it stands, and its result; request and grids stay as they are."""

    def get(self, evaluation_id: str) -> Evaluation | None: ...

    def of_version(
        self, model: str, version: int, *, before: str | None = None, limit: int
    ) -> tuple[Evaluation, ...]:
        """Those of a version, newest first, only ids below `before`, without their results."""

    def newest(self, model: str, version: int, *states: EvaluationState) -> Evaluation | None:
        """The version's newest one in one of these states, or in any, with its result."""

    def unfinished(self) -> tuple[str, ...]:
        """Ids of those that are queued or running, oldest first."""

    def waiting(self, member: str) -> int:
        """How many that `member` asked for are queued or running."""

    def add_grid(
        self, evaluation_id: str, number: int, submission_id: str, grid: StoredFile
    ) -> None:
        """Refer to the picture of the concept at this place of the version."""

    def forget_grids_of(self, model: str, version: int) -> tuple[Digest, ...]:
        """Drop all references to grids of a version and return the digests."""

    def forget_grids_with(self, submission_id: str) -> tuple[Digest, ...]:
        """Drop all references to grids that show a concept version and return the digests."""


class EvaluationLedger(Protocol):
    """What a worker reads and tells about evaluations; every call is one transaction.

    `Gone` is raised, but for `failed`, when the version was tombstoned or a concept withdrawn.
    """

    def unfinished(self) -> tuple[Job, ...]:
        """The jobs of those that are queued or running, oldest first."""

    def begin(self, evaluation_id: str) -> EvaluationPlan | None:
        """What is to be evaluated; None when it is not to be done (any more)."""

    def progress(self, evaluation_id: str, done: int, total: int, message: str) -> bool:
        """Note how far it is; tells whether it is still wanted: running, not cancelled."""

    def done(
        self, evaluation_id: str, result: Mapping[str, object], grids: Mapping[int, StoredFile]
    ) -> None:
        """Write down what came of it, and the grids by the concepts' places in the version.

        Ignored when it is finished. Raises `Unavailable` when a grid is not in the store: put it
        again, then tell again.
        """

    def failed(self, evaluation_id: str, error: MosError) -> None:
        """Note why it failed; ignored when it is finished."""
