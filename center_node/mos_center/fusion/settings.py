"""What a fusion may be told: solver, regularisation per part, weight of the base's prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part

from mos_center.domain.models import Solver
from mos_center.domain.solving import DEFAULT_RIDGE, DEFAULT_STEPS, RidgeTarget, Solving

__all__ = [
    "DEFAULT_RIDGE",
    "DEFAULT_STEPS",
    "GROWTH_LIMIT",
    "FusionSettings",
    "RidgeTarget",
    "Solver",
]

C = TypeVar("C", bound=StrEnum)

# A delta far larger than any concept's own update is an exact fit to nearly collinear inputs,
# which ruins every input that was not recorded. Up to 13-fold was measured on tinyworld where the
# concepts kept most of their identity.
GROWTH_LIMIT = 30.0


@dataclass(frozen=True)
class FusionSettings:
    """Settings of one fusion, checked where they are made; raises `InvalidRequest`.

    solver: `average` and others are baselines that solve nothing. ridge: λ per part, relative to
    the mean diagonal of the layer's moment; parts that are left out keep their default.
    ridge_target: what it pulls towards, and where `lbfgs` starts. prior_weight: ρ, how much the
    base's behaviour on generic inputs counts, in units of one concept. lbfgs_steps: iterations per
    part. refine_rounds: how often inputs are recorded again on the fused model, to solve once more.
    """

    solver: Solver = Solver.CLOSED_FORM
    ridge: Mapping[Part, float] = field(default_factory=lambda: DEFAULT_RIDGE)
    prior_weight: float = 0.0
    lbfgs_steps: Mapping[Part, int] = field(default_factory=lambda: DEFAULT_STEPS)
    refine_rounds: int = 0
    ridge_target: RidgeTarget = RidgeTarget.AVERAGE

    def __post_init__(self) -> None:
        object.__setattr__(self, "solver", _chosen("solver", Solver, self.solver))
        object.__setattr__(
            self, "ridge_target", _chosen("ridge target", RidgeTarget, self.ridge_target)
        )
        object.__setattr__(self, "ridge", _per_part("ridge", self.ridge, DEFAULT_RIDGE))
        object.__setattr__(
            self, "lbfgs_steps", _per_part("lbfgs_steps", self.lbfgs_steps, DEFAULT_STEPS)
        )
        # The one place that knows what may be asked for.
        Solving.of(
            self.solver,
            ridge=self.ridge,
            prior_weight=self.prior_weight,
            lbfgs_steps=self.lbfgs_steps,
            refine_rounds=self.refine_rounds,
        )

    @property
    def solves(self) -> bool:
        """Whether the solver looks at moments at all."""
        return self.solver.solves

    def to_json(self) -> dict[str, object]:
        """The settings that decide the result, as plain data in a fixed order."""
        chosen: dict[str, object] = {"solver": self.solver.value}
        if self.solves:
            chosen["ridge"] = {part.value: float(self.ridge[part]) for part in Part}
            chosen["prior_weight"] = float(self.prior_weight)
            chosen["refine_rounds"] = self.refine_rounds
        # Told only where it is not the usual one: reports stay the bytes that they were.
        if self.solves and self.ridge_target is not RidgeTarget.AVERAGE:
            chosen["ridge_target"] = self.ridge_target.value
        if self.solver is Solver.LBFGS:
            chosen["lbfgs_steps"] = {part.value: self.lbfgs_steps[part] for part in Part}
        return chosen


def _chosen(name: str, choices: type[C], value: str) -> C:
    try:
        return choices(value)
    except ValueError:
        raise InvalidRequest(
            f"There is no {name} {value!r}.", hint=f"Choose {', '.join(choices)}."
        ) from None


def _per_part(
    name: str, given: Mapping[Part, Any], defaults: Mapping[Part, Any]
) -> Mapping[Part, Any]:
    """Fill the parts that are missing and accept their plain names as keys."""
    unknown = [str(key) for key in given if key not in set(Part)]
    if unknown:
        raise InvalidRequest(
            f"{name} names the part {unknown[0]!r}.", hint=f"The parts are {', '.join(Part)}."
        )
    return MappingProxyType({**defaults, **{Part(key): value for key, value in given.items()}})
