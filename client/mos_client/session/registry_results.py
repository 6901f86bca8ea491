"""What a center answers about who sees concepts, and what became of them."""

from __future__ import annotations

from datetime import datetime

from mos_protocol.names import SLUG_PATTERN
from pydantic import Field

from mos_client.session.results import Answer, Concept, FusedConcept, SubmissionState


class ConceptOverview(Answer):
    """A concept over its versions, newest first.

    `shares` are the members that it is shared with, None for others than its owner and curators.
    """

    name: str
    owner: str = ""
    visibility: str
    shares: tuple[str, ...] | None = None
    versions: tuple[Concept, ...] = ()


class AffectedVersion(Answer):
    """A model version with a withdrawn concept in it.

    `refusion` is where to ask for it without that, None when nothing would be left of it.
    """

    model: str
    version: int
    tombstoned_at: datetime | None = None
    refusion: str | None = None

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.version}"


class Withdrawn(Answer):
    """A concept version that was withdrawn, the model versions that contain it, ended fusions."""

    concept: Concept
    affected: tuple[AffectedVersion, ...] = ()
    ended_fusions: tuple[str, ...] = ()


class AliasMove(Answer):
    """A move of an alias; `version` is None where it was removed."""

    version: int | None = None
    at: datetime
    by: str = ""


class VersionRef(Answer):
    """A model version by name and number."""

    model: str = Field(pattern=rf"^{SLUG_PATTERN}$")
    version: int = Field(ge=1)

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.version}"


class Ingredient(FusedConcept):
    """A concept version in a model version, as it stands now."""

    state: SubmissionState
    licence: str = ""
    consent: str = ""


class Lineage(Answer):
    """What a model version was made of, and the versions that it is related to."""

    model: str
    version: int
    base: str = ""
    fusion_id: str = ""
    concepts: tuple[Ingredient, ...] = ()
    predecessor: int | None = None
    refusion_of: VersionRef | None = None
    refusions: tuple[VersionRef, ...] = ()

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.version}"


class MarkedVersion(Answer):
    """A model version that a mark names; `concepts` are `owner/name@version`."""

    model: str
    version: int
    base: str = ""
    concepts: tuple[str, ...] = ()
    owner: str = ""
    created_at: datetime
    tombstoned_at: datetime | None = None

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.version}"


class MarkedConcept(Answer):
    """A concept version that a mark names; prompts call it `trigger`."""

    name: str
    version: int
    trigger: str = ""
    state: str = ""

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


class Mark(Answer):
    """What the mark in a picture means: all that has a digest which begins with it."""

    mark: str
    models: tuple[MarkedVersion, ...] = ()
    concepts: tuple[MarkedConcept, ...] = ()
    bases: tuple[str, ...] = ()
