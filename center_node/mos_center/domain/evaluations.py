"""Evaluations of published versions: what their concepts look like beside their own models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mos_protocol.errors import Conflict, InvalidRequest
from mos_protocol.manifest import PLAIN_TEXT

from mos_center.domain.models import (
    BaseRecord,
    Failure,
    ModelVersion,
    PlannedConcept,
    Progress,
    StoredFile,
)

PLACE = "<TOK>"
"""Where a prompt names the concept."""
DEFAULT_SEEDS = 2
# A picture is compared with pictures of other seeds: of one alone there are none.
LEAST_SEEDS = 2
MOST_SEEDS = 50
MOST_PROMPTS = 20
MOST_PROMPT_CHARS = 300
DEFAULT_WAITING = 4
SET_PATTERN = r"^[a-z][a-z0-9_-]{0,39}$"


class EvaluationState(StrEnum):
    """How far an evaluation is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self not in (EvaluationState.QUEUED, EvaluationState.RUNNING)


@dataclass(frozen=True)
class EvaluationRules:
    """Whether a center evaluates, and how many unfinished evaluations one member may have."""

    is_on: bool = False
    waiting: int = DEFAULT_WAITING

    def check_on(self) -> None:
        """Raise `Conflict` when the center evaluates nothing."""
        if not self.is_on:
            raise Conflict(
                "This center evaluates no versions: MOS_EVALUATION_CLIP is not set.",
                hint="An admin sets it, for API and workers, to a CLIP model's folder or hub id.",
            )


@dataclass(frozen=True)
class EvaluationRequest:
    """What is sampled of every concept: each prompt once per seed, 1 to `seeds`.

    The prompts are `texts`, or the set called `prompts`, or that of the concept's class word.
    """

    prompts: str = ""
    texts: tuple[str, ...] = ()
    seeds: int = DEFAULT_SEEDS

    def check(self) -> None:
        """Raise `InvalidRequest` for what nobody can sample, or would wait for."""
        if not LEAST_SEEDS <= self.seeds <= MOST_SEEDS:
            raise InvalidRequest(
                f"{self.seeds} seeds per prompt; possible are {LEAST_SEEDS} to {MOST_SEEDS}.",
                hint="A picture is compared with those of other seeds, so it takes two.",
            )
        if self.texts and self.prompts:
            raise InvalidRequest(
                f"Prompts were given, and the set {self.prompts!r} too.",
                hint="Give one of the two.",
            )
        if self.prompts and not re.fullmatch(SET_PATTERN, self.prompts):
            raise InvalidRequest(
                f"{self.prompts[:60]!r} is no name of a set of prompts.",
                hint="Known sets are called character, pet or scene, for example.",
            )
        if len(self.texts) > MOST_PROMPTS:
            raise InvalidRequest(
                f"{len(self.texts)} prompts; at most {MOST_PROMPTS} are possible.",
                hint="Leave some out.",
            )
        if len(set(self.texts)) < len(self.texts):
            raise InvalidRequest("A prompt was given twice.", hint="Give each once.")
        for number, text in enumerate(self.texts, 1):
            _check_prompt(number, text)

    def to_json(self) -> dict[str, object]:
        """The prompts as plain data: the set's name, or the texts, or neither."""
        if self.texts:
            return {"texts": list(self.texts)}
        return {"set": self.prompts} if self.prompts else {}


@dataclass(frozen=True)
class Evaluation:
    """One evaluation; `progress` counts pictures, `result` is there once it is done.

    `grids` are pictures of its concepts, by their place in the version from 0, as long as they are
    kept. In lists the result is left out.
    """

    id: str
    model: str
    version: int
    request: EvaluationRequest
    state: EvaluationState
    requested_by: str
    created_at: datetime
    request_id: str = ""
    progress: Progress = field(default_factory=Progress)
    error: Failure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    grids: Mapping[int, StoredFile] | None = None

    @property
    def ref(self) -> str:
        """The version, `model@3`."""
        return f"{self.model}@{self.version}"

    def seconds_left(self, now: datetime) -> int | None:
        """How long it will still run, if it goes on as it went; None while unknown."""
        running = self.state is EvaluationState.RUNNING
        return self.progress.seconds_left(self.started_at, now) if running else None

    def check_unfinished(self) -> None:
        """Raise `Conflict` when nothing more becomes of it."""
        if self.state.is_finished:
            raise Conflict(
                f"The evaluation is {self.state.value}.", hint="This state is final; ask anew."
            )


@dataclass(frozen=True)
class EvaluationPlan:
    """All that a worker needs: the version with its files, its base, its concepts' packages."""

    evaluation: Evaluation
    version: ModelVersion
    base: BaseRecord
    concepts: tuple[PlannedConcept, ...]


def _check_prompt(number: int, text: str) -> None:
    where = f"Prompt {number}"
    if PLACE not in text:
        raise InvalidRequest(
            f"{where} does not name the concept.", hint=f"Write {PLACE} where it stands."
        )
    if len(text) > MOST_PROMPT_CHARS:
        raise InvalidRequest(
            f"{where} has {len(text)} characters; at most {MOST_PROMPT_CHARS} are possible.",
            hint="Models read some 75 tokens of a prompt.",
        )
    if not re.search(PLAIN_TEXT, text) or "\n" in text:
        raise InvalidRequest(
            f"{where} holds a character that no prompt has.", hint="Write it as one line of text."
        )
