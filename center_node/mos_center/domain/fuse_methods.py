"""Fuse methods: the solver that a choice of method and solver means, and what a method asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from mos_protocol.manifest import Manifest
from mos_protocol.methods import LAYER_PARTS
from mos_protocol.part_weights import PartWeights

from mos_center.domain.models import FuseMethod, Solver


def solvers_of(method: FuseMethod) -> tuple[Solver, ...]:
    """The solvers of a method, the usual one first."""
    return tuple(solver for solver in Solver if solver.method is method)


def solver_of(method: FuseMethod | None, solver: Solver | None) -> Solver:
    """The solver that is meant; `InvalidRequest` for one of another method."""
    if method is None:
        return solver or Solver.CLOSED_FORM
    own = solvers_of(method)
    if solver is None:
        return own[0]
    if solver not in own:
        raise InvalidRequest(
            f"The solver {solver} belongs to the fuse method {solver.method}, not to {method}.",
            hint=f"Leave the solver out, or choose {' or '.join(own)}.",
        )
    return solver


@dataclass(frozen=True)
class Changed:
    """A concept as a fusion takes it: its reference, weights, and what its package says."""

    ref: str
    weights: PartWeights
    manifest: Manifest

    @property
    def parts(self) -> frozenset[Part]:
        """The parts that it changes with a weight above 0; of an imported one any."""
        training = self.manifest.training
        changed = LAYER_PARTS["all" if training is None else training.layers]
        return frozenset(part for part in changed if self.weights.of(part) != 0)


def unfit(solver: Solver, concepts: Iterable[Changed]) -> Iterator[tuple[str, InvalidRequest]]:
    """Concepts that a solver can't fuse, by reference, with the reason."""
    if solver is not Solver.CUSTOM_DIFFUSION:
        return
    for concept in concepts:
        error = _unconstrainable(concept)
        if error is not None:
            yield concept.ref, error


def check_prior(solver: Solver, base: str, *, has_prior: bool) -> None:
    """Raise `InvalidRequest` where the solver needs prior moments and the base has none."""
    if solver is Solver.CUSTOM_DIFFUSION and not has_prior:
        raise InvalidRequest(
            f"The fuse method {solver} needs the prior moments of base {base!r}: they stand for "
            "the captions on which the model is to change least.",
            hint="Give the base a prior (fuse-local: --prior), or choose another fuse method.",
        )


def loses_change(solver: Solver, concept: Changed) -> bool:
    """Whether the concept changes layers and the solver leaves them as they are."""
    return solver is Solver.NONE and bool(concept.parts)


def _unconstrainable(concept: Changed) -> InvalidRequest | None:
    """Why a concept's change can't be held as constraints on keys and values; None if it can."""
    manifest = concept.manifest
    others = [part.value for part in Part if part in concept.parts - {Part.CROSS_KV}]
    if others:
        return InvalidRequest(
            f"{concept.ref} was tuned by {manifest.method} and changes {' and '.join(others)}; the "
            "fuse method custom-diffusion fuses keys and values of cross-attention alone.",
            hint=f"Choose gradient or weight-average, or weigh {' and '.join(others)} 0.",
        )
    if concept.parts and manifest.moments.recording != "paper":
        return InvalidRequest(
            f"{concept.ref} recorded its moments by {manifest.moments.recording!r}: the fuse "
            "method custom-diffusion would hold every token of them as a constraint.",
            hint="Record it again with --moments paper, or choose gradient or weight-average.",
        )
    return None
