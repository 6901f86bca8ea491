"""Requesting, finding and cancelling fusions."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, InvalidRequest, NotFound
from mos_protocol.layer_map import Part
from mos_protocol.names import Digest, check_slug, parse_concept_name
from mos_protocol.part_weights import PartWeights
from mos_protocol.words import check_words

from mos_center.domain.build import build_digest
from mos_center.domain.ids import new_id
from mos_center.domain.models import (
    BaseRecord,
    Export,
    Fusion,
    FusionConcept,
    Remembered,
    Solver,
    Submission,
)
from mos_center.domain.ports import Database, FusionQueue, Transaction
from mos_center.domain.solving import DEFAULT_PRIOR_WEIGHT, Solving
from mos_center.domain.states import (
    FusionState,
    SubmissionState,
    check_fusion_transition,
)

log = logging.getLogger(__name__)

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
    """What is to be fused, and how; what is None is left to the center (see `solving`)."""

    model: str
    base: str
    concepts: Sequence[WantedConcept]
    solver: Solver = Solver.CLOSED_FORM
    prior_weight: float | None = None
    ridge: Mapping[Part, float] | None = None
    lbfgs_steps: Mapping[Part, int] | None = None
    refine_rounds: int = 0
    exports: Sequence[Export] = ()

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

    def digest(self) -> Digest:
        """The identity of the request as it was written (for idempotency keys)."""
        content = json.dumps(asdict(self), sort_keys=True, default=str)
        return Digest(hashlib.sha256(content.encode()).hexdigest())


class FusionService:
    """The use cases around a fusion, but for the work itself."""

    def __init__(self, database: Database, queue: FusionQueue) -> None:
        self._database = database
        self._queue = queue

    def request(
        self, request: FusionRequest, *, caller: str, key: str | None = None
    ) -> tuple[Fusion, bool]:
        """Return the fusion of this build, and whether this request made it.

        The same build is fused once unless it failed or was cancelled. The same idempotency
        `key` gives the same answer; with another request it is a `Conflict`.
        """
        with self._database.write() as transaction:
            fusion, made = self._answer(transaction, request, caller, key)
        if fusion.state is FusionState.QUEUED:
            # Also when it was known: the process may have died between the two.
            self._queue.enqueue(fusion.id)
        log.info("fusion.requested id=%s made=%s by=%s", fusion.id, made, caller)
        return fusion, made

    def get(self, fusion_id: str) -> Fusion:
        """Return the fusion; raises `NotFound`."""
        with self._database.read() as transaction:
            return find_fusion(transaction, fusion_id)

    def find(
        self, *, states: Iterable[FusionState], before: str | None = None, limit: int
    ) -> tuple[Fusion, ...]:
        """Fusions in these states, newest first."""
        with self._database.read() as transaction:
            return transaction.fusions.find(states=states, before=before, limit=limit)

    def cancel(self, fusion_id: str, caller: str) -> Fusion:
        """Cancel it; takes effect at the next step. `Conflict` when it is finished."""
        with self._database.write() as transaction:
            fusion = find_fusion(transaction, fusion_id)
            if fusion.state is not FusionState.CANCELLED:
                check_fusion_transition(fusion.state, FusionState.CANCELLED)
                fusion = replace(fusion, state=FusionState.CANCELLED, finished_at=datetime.now(UTC))
                transaction.fusions.update(fusion)
        self._queue.cancel(fusion_id)
        log.info("fusion.cancelled id=%s by=%s", fusion_id, caller)
        return fusion

    def _answer(
        self, transaction: Transaction, request: FusionRequest, caller: str, key: str | None
    ) -> tuple[Fusion, bool]:
        remembered = transaction.idempotency.get(caller, key) if key else None
        if remembered is not None:
            if remembered.request != request.digest():
                raise Conflict(
                    f"The idempotency key {key!r} was used for another request.",
                    hint="Use a new key for a new request.",
                )
            return find_fusion(transaction, remembered.resource), remembered.created
        fusion, made = _find_or_add(transaction, request)
        if key:
            entry = Remembered(request.digest(), fusion.id, made)
            transaction.idempotency.add(caller, key, entry, datetime.now(UTC))
        return fusion, made


def find_fusion(transaction: Transaction, fusion_id: str) -> Fusion:
    """Return the fusion; raises `NotFound`."""
    fusion = transaction.fusions.get(fusion_id)
    if fusion is None:
        raise NotFound(f"There is no fusion {fusion_id!r}.", hint="List the fusions.")
    return fusion


def _find_or_add(transaction: Transaction, request: FusionRequest) -> tuple[Fusion, bool]:
    base = transaction.bases.get(request.base)
    if base is None:
        raise NotFound(f"There is no base {request.base!r}.", hint="List the bases.")
    members = [_member(transaction, wanted, base) for wanted in request.concepts]
    check_words((f"{one.concept}@{one.version}", one.manifest.words) for one in members)
    solving = request.solving(_prior_weight(request, base))
    weighted = [
        (member, wanted.weights) for member, wanted in zip(members, request.concepts, strict=True)
    ]
    build = build_digest(
        base.digest, [(member.manifest_digest, weights) for member, weights in weighted], solving
    )
    known = transaction.fusions.by_build(request.model, build)
    if known is not None:
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
    )
    transaction.fusions.add(fusion)
    return fusion, True


def _member(transaction: Transaction, wanted: WantedConcept, base: BaseRecord) -> Submission:
    """Find an approved concept version for this base."""
    name = parse_concept_name(wanted.name)
    version = wanted.version or transaction.submissions.last_version(
        name.owner, name.name, states=[SubmissionState.APPROVED]
    )
    concept = transaction.submissions.by_version(name.owner, name.name, version)
    if concept is None:
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
