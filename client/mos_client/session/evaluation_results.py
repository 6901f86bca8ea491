"""What a center answers about evaluations of model versions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from mos_protocol.names import SLUG_PATTERN
from pydantic import Field

from mos_client.session.results import Answer, Failure, FusionProgress


class EvaluationState(StrEnum):
    """The states of an evaluation; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (EvaluationState.QUEUED, EvaluationState.RUNNING)


class Estimate(Answer):
    """A mean over prompts, and its standard error."""

    mean: float
    error: float = 0.0


class Figures(Answer):
    """A measure in three models: the base by class word, the concept's own, the version."""

    class_word: Estimate
    own: Estimate
    fused: Estimate


class EvaluatedConcept(Answer):
    """A concept's figures; `kept` is None where it can't be told."""

    concept: str
    text: Figures
    identity: Figures
    kept: float | None = None


class EvaluationResult(Answer):
    """What came of an evaluation; the center's documentation says how it was measured."""

    seeds: int
    concepts: tuple[EvaluatedConcept, ...] = ()
    clip: dict[str, Any] = Field(default_factory=dict)
    prompts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    mean: dict[str, Any] = Field(default_factory=dict)


class Evaluation(Answer):
    """An evaluation of a model version; `progress` counts pictures.

    `result` is None until it is done, and in lists.
    """

    id: str
    model: str = Field(pattern=rf"^{SLUG_PATTERN}$")
    version: int = Field(ge=1)
    prompts: str | None = None
    texts: tuple[str, ...] = ()
    seeds: int
    state: EvaluationState
    progress: FusionProgress = FusionProgress()
    seconds_left: float | None = None
    error: Failure | None = None
    requested_by: str = ""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: EvaluationResult | None = None

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.version}"
