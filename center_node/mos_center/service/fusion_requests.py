"""What can be asked to be fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from mos_protocol.names import check_slug, parse_concept_name
from mos_protocol.part_weights import PartWeights

from mos_center.domain.models import Export, Priority, Solver
from mos_center.domain.solving import Solving

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

    `refusion_of` is the fusion that this one repeats without withdrawn concepts. `previews`,
    whether the fused model is sampled, makes no other build.
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
    previews: bool | None = None

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
