"""What can be asked to be fused, and the fusion that such a request means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mos_protocol.errors import Gone, InvalidRequest, NotFound
from mos_protocol.layer_map import Part
from mos_protocol.names import check_slug, parse_concept_name
from mos_protocol.part_weights import PartWeights
from mos_protocol.words import check_words

from mos_center.domain.access import Caller
from mos_center.domain.build import ENGINE_VERSION, build_digest
from mos_center.domain.ids import new_id
from mos_center.domain.models import (
    BaseRecord,
    Export,
    Fusion,
    FusionConcept,
    Priority,
    Solver,
    Submission,
)
from mos_center.domain.ports import Transaction
from mos_center.domain.request_context import request_id
from mos_center.domain.solving import DEFAULT_PRIOR_WEIGHT, Solving
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.service.concepts import is_shown
from mos_center.service.fusion_lookup import check_model_owner, record_fusion

MAX_CONCEPTS = 256
MAX_WEIGHT = 100.0


@dataclass(frozen=True)
class WantedConcept:
    """A concept as a requester names it; without a version the newest approved one is taken."""

    name: str
    version: int | None = None
    weights: PartWeights = field(default_factory=PartWeights)

    def __post_init__(self) -> None:
        parse_concept_name(self.name)
        weights = [self.weights.of(part) for part in Part]
        if min(weights) < 0 or not 0 < max(weights) <= MAX_WEIGHT:
            raise InvalidRequest(
                f"The weight of {self.name} is {self.weights}.",
                hint=f"Give a weight above 0, at most {MAX_WEIGHT:g}; 1 is the concept as tuned. "
                "Single parts may be 0.",
            )


@dataclass(frozen=True)
class FusionRequest:
    """What is to be fused, and how; what is None is left to the center (see `solving`).

    `refusion_of` is the fusion that this one repeats without withdrawn concepts.
    """

    model: str
    base: str
    concepts: Sequence[WantedConcept]
    solver: Solver = Solver.CLOSED_FORM
    prior_weight: float | None = None
    ridge: Mapping[Part, float] | None = None
    lbfgs_steps: Mapping[Part, int] | None = None
    refine_rounds: int = 0
    exports: Sequence[Export] = ()
    priority: Priority = Priority.NORMAL
    refusion_of: str | None = None

    def __post_init__(self) -> None:
        check_slug(self.model, "model name")
        check_slug(self.base, "base name")
        if not 1 <= len(self.concepts) <= MAX_CONCEPTS:
            raise InvalidRequest(
                f"{len(self.concepts)} concepts are named.",
                hint=f"Name between 1 and {MAX_CONCEPTS}.",
            )
        self.solving(self.prior_weight or 0.0)

    def solving(self, prior_weight: float) -> Solving:
        """How to solve it, checked and complete; raises `InvalidRequest`."""
        return Solving.of(
            self.solver,
            ridge=self.ridge,
            prior_weight=prior_weight,
            lbfgs_steps=self.lbfgs_steps,
            refine_rounds=self.refine_rounds,
            exports=self.exports,
        )


def find_or_add(
    transaction: Transaction, request: FusionRequest, caller: Caller
) -> tuple[Fusion, bool]:
    """Return the fusion of the build that `request` means, and whether it was added now."""
    base = transaction.bases.get(request.base)
    if base is None:
        raise NotFound(f"There is no base {request.base!r}.", hint="List the bases.")
    members = [_member(transaction, wanted, base, caller) for wanted in request.concepts]
    check_words((f"{one.concept}@{one.version}", one.manifest.words) for one in members)
    solving = request.solving(_prior_weight(request, base))
    weighted = [
        (member, wanted.weights) for member, wanted in zip(members, request.concepts, strict=True)
    ]
    build = build_digest(
        base.digest, [(member.manifest_digest, weights) for member, weights in weighted], solving
    )
    _claim_model(transaction, request.model, caller)
    known = transaction.fusions.by_build(request.model, build)
    if known is not None:
        _check_given_out(transaction, known)
        return known, False
    fusion = Fusion(
        id=new_id(),
        model=request.model,
        base=base.name,
        concepts=tuple(
            FusionConcept(member.id, member.concept, member.version or 0, weights)
            for member, weights in weighted
        ),
        solver=solving.solver,
        prior_weight=solving.prior_weight,
        ridge=solving.ridge,
        lbfgs_steps=solving.lbfgs_steps,
        refine_rounds=solving.refine_rounds,
        exports=solving.exports,
        build=build,
        state=FusionState.QUEUED,
        created_at=datetime.now(UTC),
        requested_by=caller.name,
        priority=request.priority,
        request_id=request_id.get(),
        engine=ENGINE_VERSION,
        refusion_of=request.refusion_of,
    )
    transaction.fusions.add(fusion)
    record_fusion(transaction, fusion, None, caller)
    return fusion, True


def _check_given_out(transaction: Transaction, fusion: Fusion) -> None:
    """Raise `Gone` when what the fusion was published as is tombstoned."""
    version = transaction.models.get(fusion.model, fusion.model_version or 0)
    if version is not None and version.tombstoned_at is not None:
        raise Gone(
            f"This build is {fusion.model}@{version.version}, which is not given out any more: "
            f"{version.tombstone_reason}",
            hint="Choose another model name, or change the request.",
        )


def _claim_model(transaction: Transaction, model: str, caller: Caller) -> None:
    """Give a new model to the caller; raise `PermissionDenied` when it is somebody else's."""
    transaction.models.claim(model, caller.name, datetime.now(UTC))
    check_model_owner(transaction.models.owner(model), model, caller)


def _member(
    transaction: Transaction, wanted: WantedConcept, base: BaseRecord, caller: Caller
) -> Submission:
    """Find an approved concept version for this base that the caller may see."""
    name = parse_concept_name(wanted.name)
    version = wanted.version or transaction.submissions.last_version(
        name.owner, name.name, states=[SubmissionState.APPROVED]
    )
    concept = transaction.submissions.by_version(name.owner, name.name, version)
    if concept is None or not is_shown(transaction, concept, caller):
        asked = f"{wanted.name}@{wanted.version}" if wanted.version else wanted.name
        raise NotFound(f"There is no concept {asked}.", hint="List the concepts.")
    if concept.state is not SubmissionState.APPROVED:
        raise InvalidRequest(
            f"{wanted.name}@{version} is {concept.state.value}.",
            hint="Only approved concepts can be fused.",
        )
    if concept.base != base.name:
        raise InvalidRequest(
            f"{wanted.name}@{version} was tuned on base {concept.base!r}, not {base.name!r}.",
            hint="Fuse concepts of one base.",
        )
    return concept


def _prior_weight(request: FusionRequest, base: BaseRecord) -> float:
    if request.prior_weight is None:
        return DEFAULT_PRIOR_WEIGHT if base.prior else 0.0
    if request.prior_weight > 0 and not base.prior:
        raise InvalidRequest(
            f"Base {base.name!r} has no prior moments, but prior_weight is "
            f"{request.prior_weight:g}.",
            hint="Use prior_weight 0, or register the base with a prior.",
        )
    return request.prior_weight
