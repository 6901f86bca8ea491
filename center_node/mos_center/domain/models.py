"""What the center knows: bases, submissions, fusions, model versions, tokens. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from mos_protocol.layer_map import LayerMap, Part
from mos_protocol.manifest import Manifest
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights as PartWeights

from mos_center.domain.states import FusionState, SubmissionState


class Solver(StrEnum):
    """How the layer-wise problem is solved."""

    CLOSED_FORM = "closed-form"
    LBFGS = "lbfgs"
    AVERAGE = "average"
    SUM = "sum"

    @property
    def solves(self) -> bool:
        """Whether it solves a least-squares problem, so that ridge and prior count."""
        return self in (Solver.CLOSED_FORM, Solver.LBFGS)


class Export(StrEnum):
    """A format of other tools that a version can be published in too."""

    DIFFUSERS_LORA = "diffusers-lora"
    KOHYA_LORA = "kohya-lora"
    SINGLE_FILE = "single-file"


class Review(StrEnum):
    """What happens to a package that passed validation."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True)
class StoredFile:
    """A file by content: its sha256 and its size in bytes."""

    sha256: Digest
    size: int


@dataclass(frozen=True)
class PublishedFile:
    """One file of a model version; `path` is relative to the version's folder, with slashes."""

    path: str
    size: int
    sha256: Digest


@dataclass(frozen=True)
class BaseRecord:
    """A registered base model: its folder, layer map, and prior moments (a blob per block)."""

    name: str
    digest: Digest
    path: Path
    layer_map: LayerMap
    prior: Mapping[str, Digest] = field(default_factory=dict)


@dataclass(frozen=True)
class Submission:
    """One concept package at the center; it has a version once it passed validation."""

    id: str
    manifest: Manifest
    manifest_digest: Digest
    base: str
    state: SubmissionState
    created_at: datetime
    version: int | None = None
    reason: str = ""

    @property
    def concept(self) -> str:
        """The concept's name, `owner/name`."""
        return self.manifest.concept

    @property
    def owner(self) -> str:
        return self.manifest.concept.partition("/")[0]

    @property
    def name(self) -> str:
        return self.manifest.concept.partition("/")[2]


@dataclass(frozen=True)
class FusionConcept:
    """One concept of a fusion, with the weights its delta gets."""

    submission_id: str
    name: str
    version: int
    weights: PartWeights

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Progress:
    """How far a fusion is: `done` of `total` blocks, and what is being done."""

    done: int = 0
    total: int = 0
    message: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a fusion failed, as told to its requester."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Fusion:
    """A requested fusion; `build` identifies its result (see `domain.build`).

    `ridge` and `lbfgs_steps` are None where the solver has no use for them.
    """

    id: str
    model: str
    base: str
    concepts: tuple[FusionConcept, ...]
    solver: Solver
    prior_weight: float
    ridge: Mapping[Part, float] | None
    lbfgs_steps: Mapping[Part, int] | None
    refine_rounds: int
    exports: tuple[Export, ...]
    build: Digest
    state: FusionState
    created_at: datetime
    progress: Progress = Progress()
    error: Failure | None = None
    model_version: int | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class PlannedConcept:
    """A concept as the fusion reads it: manifest, and each package file's blob."""

    ref: str
    weights: PartWeights
    manifest: Manifest
    files: Mapping[str, Digest]


@dataclass(frozen=True)
class FusionPlan:
    """All that a worker needs for a fusion; files are named by digest (see `BlobStore`)."""

    fusion_id: str
    model: str
    base: BaseRecord
    concepts: tuple[PlannedConcept, ...]
    solver: str
    prior_weight: float
    ridge: dict[Part, float] | None
    lbfgs_steps: dict[Part, int] | None
    refine_rounds: int
    exports: tuple[Export, ...]
    build: Digest


@dataclass(frozen=True)
class VersionConcept:
    """A concept that is part of a model version."""

    name: str
    version: int
    weights: PartWeights
    words: tuple[str, ...]


@dataclass(frozen=True)
class ModelVersion:
    """One immutable published version of a model."""

    model: str
    version: int
    aliases: tuple[str, ...]
    base: str
    base_digest: Digest
    concepts: tuple[VersionConcept, ...]
    solver: Solver
    fusion_id: str
    build: Digest
    created_at: datetime
    files: tuple[PublishedFile, ...]

    def file(self, path: str) -> PublishedFile | None:
        """Return the file at `path`, or None."""
        return next((item for item in self.files if item.path == path), None)


@dataclass(frozen=True)
class TokenRecord:
    """An issued token; only its sha256 is kept."""

    name: str
    sha256: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class SessionRecord:
    """A browser that logged in with a token; only the sha256 of its cookie is kept."""

    sha256: str
    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Remembered:
    """What an idempotency key was used for: the request's digest, and what it made."""

    request: Digest
    resource: str
    created: bool
