"""Looking up what made a picture."""

from __future__ import annotations

from typing import Protocol

from mos_center.domain.marks import MarkedConcept
from mos_center.domain.models import ModelVersion


class Marks(Protocol):
    """What has a digest that begins with a mark; `viewer` None sees everything."""

    def versions(self, mark: str, *, viewer: str | None) -> tuple[ModelVersion, ...]:
        """Model versions by their build, tombstoned ones too, by name and number."""

    def concepts(self, mark: str, *, viewer: str | None) -> tuple[MarkedConcept, ...]:
        """Concept versions by their manifest, withdrawn ones too, by name and number."""

    def bases(self, mark: str) -> tuple[str, ...]:
        """Names of base models by the digest over their weights."""
