"""How a fusion is solved, as its requester may choose it: defaults, and the one form of a choice.

What is left out means the default, and what a solver has no use for is left out: two requests
with the same result have the same form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part

from mos_center.domain.models import Export, Solver

DEFAULT_RIDGE: Mapping[Part, float] = MappingProxyType(dict.fromkeys(Part, 1e-3))
DEFAULT_STEPS: Mapping[Part, int] = MappingProxyType(
    {Part.TEXT_ENCODER: 500, Part.CROSS_KV: 500, Part.SPATIAL: 50}
)


class RidgeTarget(StrEnum):
    """What a ridge pulls the fused change towards."""

    AVERAGE = "average"
    ZERO = "zero"


DEFAULT_PRIOR_WEIGHT = 0.1
"""For bases that have a prior."""
MAX_STEPS = 10_000
MAX_REFINE_ROUNDS = 3


@dataclass(frozen=True)
class Solving:
    """A solver with all that decides its result; made by `of`, which checks and completes it.

    ridge and lbfgs_steps name every part, or are None where the solver has no use for them;
    prior_weight and refine_rounds are 0 then. exports are sorted.
    """

    solver: Solver
    ridge: Mapping[Part, float] | None
    prior_weight: float
    lbfgs_steps: Mapping[Part, int] | None
    refine_rounds: int
    exports: tuple[Export, ...]

    @classmethod
    def of(
        cls,
        solver: Solver,
        *,
        ridge: Mapping[Part, float] | None = None,
        prior_weight: float = 0.0,
        lbfgs_steps: Mapping[Part, int] | None = None,
        refine_rounds: int = 0,
        exports: Iterable[Export] = (),
    ) -> Self:
        """Check what was asked for and fill in the defaults; raises `InvalidRequest`."""
        for part, value in (ridge or {}).items():
            _check_not_negative(f"ridge.{part}", value)
        _check_not_negative("prior_weight", prior_weight)
        for part, steps in (lbfgs_steps or {}).items():
            _check_between(f"lbfgs_steps.{part}", steps, 1, MAX_STEPS)
        _check_between("refine_rounds", refine_rounds, 0, MAX_REFINE_ROUNDS)
        return cls(
            solver=solver,
            ridge={**DEFAULT_RIDGE, **(ridge or {})} if solver.solves else None,
            prior_weight=float(prior_weight) if solver.solves else 0.0,
            lbfgs_steps=(
                {**DEFAULT_STEPS, **(lbfgs_steps or {})} if solver is Solver.LBFGS else None
            ),
            refine_rounds=refine_rounds if solver.solves else 0,
            exports=tuple(sorted(set(exports))),
        )

    def to_json(self) -> dict[str, object]:
        """All of it as plain data."""
        ridge, steps = self.ridge, self.lbfgs_steps
        return {
            "solver": self.solver.value,
            "ridge": ridge and {part.value: float(ridge[part]) for part in Part},
            "prior_weight": self.prior_weight,
            "lbfgs_steps": steps and {part.value: steps[part] for part in Part},
            "refine_rounds": self.refine_rounds,
            "exports": [export.value for export in self.exports],
        }


def _check_not_negative(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (math.isfinite(value) and value >= 0):  # type: ignore[arg-type, operator]
        raise InvalidRequest(f"{name} is {value!r}.", hint="Give a number from 0.")


def _check_between(name: str, value: object, least: int, most: int) -> None:
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or not least <= value <= most:  # type: ignore[operator]
        raise InvalidRequest(
            f"{name} is {value!r}.", hint=f"Give a whole number from {least} to {most}."
        )
