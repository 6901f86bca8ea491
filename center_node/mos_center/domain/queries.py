"""What lists can be asked for; None leaves a filter out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mos_center.domain.access import Visibility
from mos_center.domain.states import FusionState


class Order(StrEnum):
    """How a list is sorted."""

    NEWEST = "newest"
    NAME = "name"


class LogOrder(StrEnum):
    """How a log is read."""

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True)
class ConceptQuery:
    """Which concept versions; `text` is found in names, words and class words."""

    base: str | None = None
    owner: str | None = None
    text: str | None = None
    word: str | None = None
    class_word: str | None = None
    visibility: Visibility | None = None
    order: Order = Order.NEWEST


@dataclass(frozen=True)
class ModelQuery:
    """Which model versions; `text` is found in the model's and its concepts' names and words.

    `concept` is `owner/name`, whatever the version; `owner` is the model's.
    """

    text: str | None = None
    base: str | None = None
    concept: str | None = None
    owner: str | None = None
    order: Order = Order.NAME


@dataclass(frozen=True)
class AuditQuery:
    """Which entries of the audit log.

    `action` is a name, or the beginning of several up to a dot (`fusion.`); `resource` is the
    beginning of one, whatever follows (`model/demo`); `since` counts itself, `until` does not.
    """

    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: LogOrder = LogOrder.NEWEST


@dataclass(frozen=True)
class FusionQuery:
    """Which fusions; `text` is found in the model's name.

    `concept` is `owner/name`, whatever the version.
    """

    text: str | None = None
    base: str | None = None
    requested_by: str | None = None
    concept: str | None = None
    states: frozenset[FusionState] = frozenset(FusionState)
