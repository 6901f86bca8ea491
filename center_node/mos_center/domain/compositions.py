"""Compositions: scenes that a worker draws with a published version, for whoever asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mos_protocol.errors import Conflict

from mos_center.domain.models import Failure, ModelVersion, Progress, StoredFile

DEFAULT_PICTURES = 8
DEFAULT_WAITING = 4
DEFAULT_KEEP_DAYS = 14.0


class CompositionState(StrEnum):
    """How far a composition is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self not in (CompositionState.QUEUED, CompositionState.RUNNING)


@dataclass(frozen=True)
class CompositionRules:
    """What a center draws for its members; `keep` is how long pictures stay, None: for ever.

    `pictures`, `pixels` of each and `steps` are the most of one composition, `waiting` is the most
    of unfinished ones of one member.
    """

    is_on: bool = True
    pictures: int = DEFAULT_PICTURES
    pixels: int = 1 << 20
    steps: int = 100
    waiting: int = DEFAULT_WAITING
    keep: timedelta | None = timedelta(days=DEFAULT_KEEP_DAYS)


@dataclass(frozen=True)
class Composition:
    """A scene to be drawn with a version: `scene` is its JSON text, with a picture per seed.

    `progress` counts denoising steps. `pictures` are those that are drawn, by their number from 0;
    after `released_at` there are none any more.
    """

    id: str
    model: str
    version: int
    scene: str
    seeds: tuple[int, ...]
    state: CompositionState
    requested_by: str
    created_at: datetime
    request_id: str = ""
    progress: Progress = field(default_factory=Progress)
    error: Failure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    released_at: datetime | None = None
    pictures: Mapping[int, StoredFile] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """The version, `model@3`."""
        return f"{self.model}@{self.version}"

    def seconds_left(self, now: datetime) -> int | None:
        """How long it will still run, if its steps go on as they went; None while unknown."""
        running = self.state is CompositionState.RUNNING
        return self.progress.seconds_left(self.started_at, now) if running else None

    def check_unfinished(self) -> None:
        """Raise `Conflict` when nothing more becomes of it."""
        if self.state.is_finished:
            raise Conflict(
                f"The composition is {self.state.value}.",
                hint="That is final: ask for another one.",
            )


@dataclass(frozen=True)
class CompositionPlan:
    """What a worker needs: what is asked for, and the version with its files."""

    composition: Composition
    version: ModelVersion
