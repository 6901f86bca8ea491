"""Where things come from and where they went: values of the registry's history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

from mos_center.domain.access import Visibility
from mos_center.domain.models import Fusion, ModelVersion, Submission
from mos_center.domain.states import SubmissionState


@dataclass(frozen=True)
class AliasMove:
    """One move of an alias; `version` is None where it was removed."""

    id: str
    model: str
    alias: str
    version: int | None
    at: datetime
    by: str


@dataclass(frozen=True)
class AliasHistory:
    """An alias of a model: what it means now (None: it was removed), and its newest moves.

    `is_tombstoned`: the version that it means is not given out any more.
    """

    alias: str
    version: int | None
    is_tombstoned: bool
    moves: tuple[AliasMove, ...]


@dataclass(frozen=True)
class Ingredient:
    """A concept version of a model version, as it stands now.

    `previews` are the paths of its package's pictures, `is_listed` says whether whoever asked may
    see the concept itself.
    """

    submission_id: str
    name: str
    version: int
    weights: PartWeights
    manifest_digest: Digest
    state: SubmissionState
    visibility: Visibility
    licence: str
    consent: str
    previews: tuple[str, ...] = ()
    is_listed: bool = True

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class VersionRef:
    """A model version by name and number."""

    model: str
    version: int

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class Lineage:
    """All that a model version was made of, and the versions it is related to.

    `predecessor` and `successor` are the versions before and after it, `refusion_of` the one that
    it repeats without withdrawn concepts, `refusions` those that repeat it. `tombstoned` are those
    of them that are not given out any more.
    """

    version: ModelVersion
    fusion: Fusion
    ingredients: tuple[Ingredient, ...]
    predecessor: int | None
    refusion_of: VersionRef | None
    refusions: tuple[VersionRef, ...]
    successor: int | None = None
    tombstoned: frozenset[VersionRef] = frozenset()


@dataclass(frozen=True)
class AffectedVersion:
    """A model version with a withdrawn concept in it; `remaining` others could be fused again."""

    version: ModelVersion
    remaining: int


@dataclass(frozen=True)
class Withdrawn:
    """A withdrawn concept version, the versions that contain it, and the fusions it ended."""

    concept: Submission
    affected: tuple[AffectedVersion, ...]
    ended_fusions: tuple[str, ...]


@dataclass(frozen=True)
class HeldByConcept:
    """A concept version that has the file at `path`."""

    concept: str
    version: int
    state: SubmissionState
    path: str


@dataclass(frozen=True)
class HeldByVersion:
    """A model version that has the file at `path`."""

    model: str
    version: int
    path: str


@dataclass(frozen=True)
class Holders:
    """Who holds a file."""

    concepts: tuple[HeldByConcept, ...]
    versions: tuple[HeldByVersion, ...]
