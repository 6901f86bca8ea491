"""What a center looks like at one glance, to one of its members."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mos_center.domain.models import Fusion, ModelVersion, Submission
from mos_center.domain.policy import Quota, Usage


@dataclass(frozen=True)
class Waiting:
    """How many packages wait for review, and since when the first of them does."""

    count: int
    oldest: datetime | None


@dataclass(frozen=True)
class Stored:
    """Bytes of all packages that are kept, and of all published files, each content once."""

    concepts: int
    models: int


@dataclass(frozen=True)
class People:
    """How many members there are, and how many of them used a token lately."""

    members: int
    active: int


@dataclass(frozen=True)
class Overview:
    """Numbers and the newest things behind them.

    A member's numbers are about what is its own, a curator's about everything. `stored` is for
    curators, `people` for admins, `used` and `limits` are the reader's own.
    """

    waiting: Waiting
    queued: int
    running: int
    failed: int
    used: Usage
    limits: Quota
    stored: Stored | None
    people: People | None
    to_review: tuple[Submission, ...]
    under_way: tuple[Fusion, ...]
    failures: tuple[Fusion, ...]
    published: tuple[ModelVersion, ...]
