"""How a center is: what it depends on, and what waits for its workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mos_center.domain.models import Priority
from mos_center.domain.states import FusionState, SubmissionState


@dataclass(frozen=True)
class Probe:
    """One look at something that the center depends on.

    `kind` is which kind of it there is; `error` says why the look failed, "" when it did not.
    """

    kind: str
    milliseconds: float
    error: str = ""

    @property
    def is_healthy(self) -> bool:
        return not self.error


@dataclass(frozen=True)
class Health:
    """What became of looking at the database and at the blob store.

    `revision` is that of the database's schema; None when there is none, or it can't be read.
    """

    database: Probe
    revision: str | None
    store: Probe


@dataclass(frozen=True)
class Queues:
    """How much there is by state, and what waits for workers; what there is none of may be missing.

    `oldest` is when the fusion that waits longest was requested, `priorities` are of those that
    wait, `audits` are audits of concepts that are not finished.
    """

    submissions: Mapping[SubmissionState, int]
    fusions: Mapping[FusionState, int]
    priorities: Mapping[Priority, int]
    oldest: datetime | None
    audits: int
