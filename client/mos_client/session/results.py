"""What a center answers, as values. Unknown fields are ignored: a newer center may say more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import Manifest
from mos_protocol.names import DIGEST_PATTERN, SLUG_PATTERN
from mos_protocol.part_weights import PartWeights
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer


class Answer(BaseModel):
    """What a center sends; fields that this client does not know are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class CenterInfo(Answer):
    """A center's version, where its gRPC service listens, and whether it runs a worker."""

    version: str
    grpc: str
    worker: bool = True


class StoredFile(Answer):
    """A file by content: sha256 and size in bytes."""

    sha256: str
    size: int


class Base(Answer):
    """A base model that a center has registered; `prior` maps blocks to their moments files."""

    name: str
    digest: str = Field(pattern=DIGEST_PATTERN)
    layer_map: LayerMap
    prior: dict[str, StoredFile] = Field(default_factory=dict)


class Concept(Answer):
    """One version of a concept as the center lists it."""

    name: str
    version: int
    words: tuple[str, ...]
    class_word: str
    base: str
    state: str
    owner: str
    submission_id: str
    created_at: datetime
    rank: int
    licence: str = ""
    consent: str = ""
    reason: str = ""
    withdrawn_at: datetime | None = None
    manifest_digest: str = ""
    previews: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


class ConceptDetail(Concept):
    """A concept with the manifest of its package."""

    manifest: Manifest


class SubmissionState(StrEnum):
    """The states of a submission, in the order a good one passes them."""

    UPLOADING = "uploading"
    VALIDATING = "validating"
    PENDING_REVIEW = "pending_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"

    @property
    def settled(self) -> bool:
        """Whether it stays so unless a person acts."""
        return self not in (SubmissionState.UPLOADING, SubmissionState.VALIDATING)


class Submission(Answer):
    """Where a concept package stands at the center; `version` once it passed validation."""

    id: str
    state: SubmissionState
    concept: str
    version: int | None = None
    reason: str = ""

    @property
    def ref(self) -> str:
        return f"{self.concept}@{self.version}" if self.version else self.concept


@dataclass(frozen=True)
class WeightedConcept:
    """One concept of a fusion request: `owner/name`, a version (None: the latest), its weights."""

    name: str
    version: int | None = None
    weights: PartWeights = field(default_factory=PartWeights)


class FusionState(StrEnum):
    """The states of a fusion; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHED = "published"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (FusionState.PUBLISHED, FusionState.FAILED, FusionState.CANCELLED)


class FusionProgress(Answer):
    """How far a fusion is: `done` of `total` blocks, and what is being done."""

    done: int = 0
    total: int = 0
    message: str = ""


class Failure(Answer):
    """Why a fusion failed."""

    code: str
    message: str
    hint: str = ""


def _read_weights(value: object) -> PartWeights:
    try:
        return value if isinstance(value, PartWeights) else PartWeights.from_json(value)
    except InvalidRequest as error:
        raise ValueError(error.message) from None


class FusedConcept(Answer):
    """One concept of a fusion or of a model version, with its weights; prompts say `trigger`."""

    name: str
    version: int
    weight: Annotated[
        PartWeights,
        BeforeValidator(_read_weights),
        PlainSerializer(PartWeights.to_json, when_used="json"),
    ] = Field(default_factory=PartWeights)
    words: tuple[str, ...] = ()
    trigger: str = ""

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


class Fusion(Answer):
    """A requested fusion; `model_version` is set once it is published.

    `queue_position` counts from 1 while it waits, `seconds_left` is an estimate while it runs.
    `ridge` and `lbfgs_steps` are by part, None where the solver has no use for them. `previews`
    is None where the center decides.
    """

    id: str
    model: str
    base: str
    concepts: tuple[FusedConcept, ...]
    fuse_method: str = ""
    solver: str
    prior_weight: float = 0.0
    ridge: dict[str, float] | None = None
    lbfgs_steps: dict[str, int] | None = None
    refine_rounds: int = 0
    exports: tuple[str, ...] = ()
    previews: bool | None = None
    state: FusionState
    priority: str = "normal"
    requested_by: str = ""
    progress: FusionProgress = FusionProgress()
    queue_position: int | None = None
    seconds_left: float | None = None
    attempts: int = 0
    error: Failure | None = None
    model_version: int | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ModelFile(Answer):
    """One file of a model version; `path` is relative to the version's folder."""

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=DIGEST_PATTERN)


class ModelVersion(Answer):
    """One immutable version of a fused model."""

    # These three name folders on this side.
    model: str = Field(pattern=rf"^{SLUG_PATTERN}$")
    version: int = Field(ge=1)
    build: str = Field(default="", pattern=r"^[0-9a-f]*$")
    aliases: tuple[str, ...] = ()
    base: str
    base_digest: str = ""
    concepts: tuple[FusedConcept, ...] = ()
    solver: str = ""
    fusion_id: str = ""
    requested_by: str = ""
    tombstoned_at: datetime | None = None
    tombstone_reason: str = ""
    created_at: datetime
    files: tuple[ModelFile, ...] = ()

    @property
    def ref(self) -> str:
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class TransferProgress:
    """How much of an upload or download is there: bytes `done` of `total`, and which file."""

    done: int
    total: int
    path: str


Json = dict[str, Any]
