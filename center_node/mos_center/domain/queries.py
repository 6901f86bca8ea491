"""What lists can be asked for; None leaves a filter out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mos_center.domain.access import Visibility


class Order(StrEnum):
    """How a list is sorted."""

    NEWEST = "newest"
    NAME = "name"


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
