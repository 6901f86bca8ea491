from __future__ import annotations

from typing import Any

import pytest
from mos_center.domain.build import build_digest
from mos_center.domain.models import Export, Solver
from mos_center.domain.solving import DEFAULT_RIDGE, DEFAULT_STEPS, Solving
from mos_protocol.layer_map import Part
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

BASE, ONE, TWO = Digest("b" * 64), Digest("1" * 64), Digest("2" * 64)
CONCEPTS = [(ONE, PartWeights()), (TWO, PartWeights.uniform(0.5))]


def digest(solver: Solver = Solver.CLOSED_FORM, **options: Any) -> Digest:
    """The build of two concepts."""
    return build_digest(BASE, CONCEPTS, Solving.of(solver, **options))


def test_the_same_request_is_the_same_build() -> None:
    again = [(ONE, PartWeights(1, 1, 1)), (TWO, PartWeights(0.5, 0.5, 0.5))]

    assert digest() == build_digest(BASE, again, Solving.of(Solver.CLOSED_FORM))


@pytest.mark.parametrize(
    ("base", "concepts"),
    [
        (Digest("c" * 64), CONCEPTS),
        (BASE, CONCEPTS[::-1]),
        (BASE, CONCEPTS[:1]),
        (BASE, [CONCEPTS[0], (TWO, PartWeights.uniform(0.6))]),
        (BASE, [CONCEPTS[0], (TWO, PartWeights(0.5, 0.5, 0.6))]),
    ],
)
def test_other_concepts_weights_or_base_are_another_build(base: Digest, concepts: Any) -> None:
    assert digest() != build_digest(base, concepts, Solving.of(Solver.CLOSED_FORM))


@pytest.mark.parametrize(
    "options",
    [
        {"prior_weight": 0.2},
        {"ridge": {Part.CROSS_KV: 1e-2}},
        {"refine_rounds": 1},
        {"exports": [Export.KOHYA_LORA]},
    ],
)
def test_whatever_changes_the_result_changes_the_build(options: dict) -> None:
    assert digest() != digest(**options)
    assert digest(Solver.LBFGS) != digest(Solver.LBFGS, **options)


def test_every_solver_is_a_build_of_its_own() -> None:
    assert len({digest(solver) for solver in Solver}) == len(Solver)


@pytest.mark.parametrize(
    "options",
    [
        {"ridge": {}},
        {"ridge": {Part.SPATIAL: DEFAULT_RIDGE[Part.SPATIAL]}},
        {"ridge": dict(DEFAULT_RIDGE), "lbfgs_steps": dict(DEFAULT_STEPS)},
        {"lbfgs_steps": {Part.TEXT_ENCODER: 500}},
        {"prior_weight": 0, "refine_rounds": 0, "exports": []},
    ],
)
def test_defaults_that_are_spelled_out_are_the_same_build(options: dict) -> None:
    assert digest(Solver.LBFGS) == digest(Solver.LBFGS, **options)


def test_steps_count_for_the_solver_that_takes_steps_alone() -> None:
    steps = {Part.SPATIAL: 10}

    assert digest(Solver.LBFGS) != digest(Solver.LBFGS, lbfgs_steps=steps)
    assert digest(Solver.CLOSED_FORM) == digest(Solver.CLOSED_FORM, lbfgs_steps=steps)


@pytest.mark.parametrize(
    "solver", [Solver.AVERAGE, Solver.SUM, Solver.CUSTOM_DIFFUSION, Solver.NONE]
)
def test_a_solver_that_solves_nothing_takes_no_ridge_prior_or_rounds(solver: Solver) -> None:
    options = {"ridge": {Part.SPATIAL: 1.0}, "prior_weight": 1.0, "refine_rounds": 2}

    assert digest(solver) == digest(solver, **options)


def test_the_order_and_number_of_exports_do_not_count() -> None:
    one = digest(exports=[Export.SINGLE_FILE, Export.KOHYA_LORA])

    assert one == digest(exports=[Export.KOHYA_LORA, Export.SINGLE_FILE, Export.KOHYA_LORA])
