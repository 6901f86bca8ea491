"""Marks: the first digits of the digest of what made a picture, as its watermark has them."""

from __future__ import annotations

from dataclasses import dataclass

from mos_center.domain.models import ModelVersion
from mos_center.domain.states import SubmissionState

MARK_PATTERN = r"^[0-9a-f]{12}$"


@dataclass(frozen=True)
class MarkedConcept:
    """A concept version whose package begins with a mark; prompts name it by `trigger`."""

    name: str
    version: int
    trigger: str
    state: SubmissionState


@dataclass(frozen=True)
class Marked:
    """All that a mark means to somebody; several versions may be the same weights."""

    versions: tuple[ModelVersion, ...]
    concepts: tuple[MarkedConcept, ...]
    bases: tuple[str, ...]
