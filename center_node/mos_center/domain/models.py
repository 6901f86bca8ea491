"""What the center knows: bases, concepts, submissions, fusions, model versions. Values only."""

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

from mos_center.domain.access import Visibility
from mos_center.domain.states import FusionState, SubmissionState

COMMIT_DIGITS = 40


class FuseMethod(StrEnum):
    """What a fusion makes of the concepts' changes; each has one solver or more."""

    GRADIENT = "gradient"
    WEIGHT_AVERAGE = "weight-average"
    CUSTOM_DIFFUSION = "custom-diffusion"
    NONE = "none"


class Solver(StrEnum):
    """How the layer-wise problem is solved."""

    CLOSED_FORM = "closed-form"
    LBFGS = "lbfgs"
    AVERAGE = "average"
    SUM = "sum"
    CUSTOM_DIFFUSION = "custom-diffusion"
    NONE = "none"

    @property
    def method(self) -> FuseMethod:
        """The fuse method that it belongs to."""
        if self.solves:
            return FuseMethod.GRADIENT
        if self in (Solver.AVERAGE, Solver.SUM):
            return FuseMethod.WEIGHT_AVERAGE
        return FuseMethod(self.value)

    @property
    def solves(self) -> bool:
        """Whether it solves a least-squares problem, so that ridge and prior count."""
        return self in (Solver.CLOSED_FORM, Solver.LBFGS)


class Export(StrEnum):
    """A format of other tools that a version can be published in too."""

    DIFFUSERS_LORA = "diffusers-lora"
    KOHYA_LORA = "kohya-lora"
    SINGLE_FILE = "single-file"


class Priority(StrEnum):
    """Which fusions go first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


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
    statistics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class ConceptRecord:
    """A concept over all its versions: who may see it; `shares` are members by name."""

    owner: str
    name: str
    visibility: Visibility
    created_at: datetime
    shares: tuple[str, ...] = ()

    def is_readable(self, viewer: str | None) -> bool:
        """Whether `viewer` may see and fuse it; None sees everything."""
        return (
            viewer is None
            or viewer == self.owner
            or self.visibility is Visibility.PUBLIC
            or (self.visibility is Visibility.SHARED and viewer in self.shares)
        )


@dataclass(frozen=True)
class Submission:
    """One concept package at the center; it has a version once it passed validation.

    `submitted_by` offered it: the owner, or an admin in the owner's place.
    """

    id: str
    manifest: Manifest
    manifest_digest: Digest
    base: str
    state: SubmissionState
    created_at: datetime
    submitted_by: str
    version: int | None = None
    reason: str = ""
    withdrawn_at: datetime | None = None

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

    @property
    def size(self) -> int:
        """Bytes of all files that its manifest lists."""
        return sum(entry.size for entry in self.manifest.files)


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
    """How far a job is: `done` of `total` blocks, steps or pictures, and what is being done."""

    done: int = 0
    total: int = 0
    message: str = ""

    def seconds_left(self, since: datetime | None, now: datetime) -> int | None:
        """How long the rest takes, if it goes on as it went `since`; None while unknown."""
        if since is None or not 0 < self.done < self.total:
            return None
        elapsed = max(0.0, (now - since).total_seconds())
        return round(elapsed / self.done * (self.total - self.done))


@dataclass(frozen=True)
class Failure:
    """Why a fusion failed, as told to its requester."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Fusion:
    """A requested fusion; `build` identifies its result (see `domain.build`).

    `ridge` and `lbfgs_steps` are None where the solver has no use for them. `attempts` counts how
    often a worker began with it, `generation` how often it was started over after a failure,
    `deaths` the begins since it last came further. `queue_position` is known of what is read one by
    one or listed, while it is queued. `engine` is the version of the rules it is fused by,
    `refusion_of` the fusion that it repeats without withdrawn concepts. `previews` says whether the
    fused model is sampled; None is as the center does.
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
    requested_by: str
    priority: Priority = Priority.NORMAL
    request_id: str = ""
    progress: Progress = Progress()
    error: Failure | None = None
    model_version: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    generation: int = 0
    deaths: int = 0
    queued_at: datetime | None = None
    queue_position: int | None = None
    engine: str = ""
    refusion_of: str | None = None
    previews: bool | None = None

    def seconds_left(self, now: datetime) -> int | None:
        """How long it will still run, if its blocks go on as they went; None while unknown."""
        running = self.state is FusionState.RUNNING
        return self.progress.seconds_left(self.started_at, now) if running else None


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
    previews: bool | None = None


@dataclass(frozen=True)
class VersionConcept:
    """A concept that is part of a model version; prompts name it by `trigger`."""

    name: str
    version: int
    weights: PartWeights
    words: tuple[str, ...]
    trigger: str


@dataclass(frozen=True)
class ModelVersion:
    """One immutable published version of a model; `owner` is the model's.

    A tombstoned one is still listed, with its reason, but its files are not given out.
    """

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
    owner: str = ""
    requested_by: str = ""
    tombstoned_at: datetime | None = None
    tombstone_reason: str = ""

    @property
    def commit(self) -> str:
        """The version as tools of the Hugging Face Hub name it: 40 hexadecimal digits."""
        return self.build[:COMMIT_DIGITS]

    def file(self, path: str) -> PublishedFile | None:
        """Return the file at `path`, or None."""
        return next((item for item in self.files if item.path == path), None)
