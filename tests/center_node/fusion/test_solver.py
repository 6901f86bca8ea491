"""The solvers on problems whose answer is known, and against one another on many that are not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from layer_problems import Case, factors, moment, one_block, random_case
from mos_center.fusion.problem import objective
from mos_center.fusion.settings import GROWTH_LIMIT, FusionSettings, RidgeTarget, Solver
from mos_center.fusion.solvers import solve
from mos_center.fusion.solvers.conjugate import minimise
from mos_center.fusion.sums import ConceptUpdate
from mos_protocol.layer_map import Part

SPECTRA = ("flat", "steep", "collinear", "offset")
TOKENS = (3, 20, 400)
RIDGES = (0.0, 1e-6, 1e-3, 1e-1)


def settings(solver: str, ridge: float = 1e-3, **others) -> FusionSettings:
    return FusionSettings(Solver(solver), dict.fromkeys(Part, ridge), **others)


def dense(case: Case, chosen: FusionSettings, **prior) -> dict[str, np.ndarray]:
    """The delta (d_out, d_in) of every layer."""
    problem = case.problem(**prior)
    solutions = solve(problem, chosen).reduced
    return {
        layer.layer.name: (layer.basis @ reduced).numpy()
        for layer, reduced in zip(problem.layers, solutions, strict=True)
    }


@pytest.mark.parametrize("part", list(Part))
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_closed_form_is_never_worse_than_lbfgs_and_lbfgs_never_worse_than_the_average(
    spectrum, part
):
    for seed, (tokens, ridge, concepts) in enumerate(itertools.product(TOKENS, RIDGES, (2, 3, 6))):
        case = random_case(
            seed, concepts=concepts, part=part, spectrum=spectrum, tokens=tokens, width=16
        )
        problem = case.problem()
        closed, lbfgs, average = (
            [
                objective(layer, problem.gram, reduced)
                for layer, reduced in zip(
                    problem.layers, solve(problem, settings(solver, ridge)).reduced, strict=True
                )
            ]
            for solver in ("closed-form", "lbfgs", "average")
        )
        for layer, best, stepped, plain in zip(problem.layers, closed, lbfgs, average, strict=True):
            rounding = 1e-9 * max(abs(best), layer.asked)
            assert best <= stepped + rounding, (seed, tokens, ridge, concepts)
            assert stepped <= plain + rounding, (seed, tokens, ridge, concepts)


@pytest.mark.parametrize("steps", [1, 3, 10, 40, 90])
def test_an_lbfgs_that_stops_early_lies_between_the_average_and_the_closed_form(steps):
    # Wide enough that rounding would bend the steps if nothing kept them apart.
    few = dict.fromkeys(Part, steps)
    for seed in range(12):
        case = random_case(
            seed, concepts=3, part=Part.SPATIAL, spectrum="steep", tokens=300, width=96
        )
        name = "block.l0"
        closed = case.objective(dense(case, settings("closed-form"))[name], name)
        early = case.objective(dense(case, settings("lbfgs", lbfgs_steps=few))[name], name)
        plain = case.objective(case.average(name), name)
        assert closed <= early + 1e-10 * abs(closed)
        assert early < plain


@pytest.mark.parametrize("solver", [Solver.CLOSED_FORM, Solver.LBFGS, Solver.AVERAGE, Solver.SUM])
def test_a_single_concept_comes_back_as_it_was(solver):
    for seed, spectrum in enumerate(SPECTRA):
        case = random_case(seed, concepts=1, part=Part.CROSS_KV, spectrum=spectrum, tokens=5)
        for name, delta in dense(case, settings(solver)).items():
            np.testing.assert_allclose(delta, case.delta(0, name), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("solver", ["closed-form", "lbfgs"])
def test_concepts_that_never_meet_keep_their_own_behaviour(solver):
    rng = np.random.default_rng(0)
    block = one_block(12, 9, Part.TEXT_ENCODER)
    updates = [
        ConceptUpdate(f"ada/c{k}", 1.0, {"block.l0": factors(rng, 9, 12, 2)}) for k in range(3)
    ]
    inputs = [np.zeros((50, 12)) for _ in updates]
    for k, rows in enumerate(inputs):
        rows[:, 4 * k : 4 * k + 4] = rng.standard_normal((50, 4))
    moments = [{"block.in": torch.from_numpy(rows.T @ rows / 50)} for rows in inputs]
    case = Case(block, updates, moments)

    delta = dense(case, settings(solver, ridge=1e-9))["block.l0"]

    for k, rows in enumerate(inputs):
        np.testing.assert_allclose(rows @ delta.T, rows @ case.delta(k, "block.l0").T, atol=1e-5)


def test_closed_form_is_the_minimum_of_the_regularised_objective():
    case = random_case(3, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=300)
    prior = {"block.in": moment(np.random.default_rng(9), 24, 100, "flat")}
    name, weight, ridge = "block.l0", 0.3, 0.02
    gram = sum(item["block.in"] for item in case.moments) + weight * prior["block.in"]
    strength = ridge * float(gram.diagonal().mean())

    def regularised(delta: np.ndarray) -> float:
        away = delta - case.average(name)
        held = ((delta @ prior["block.in"].numpy()) * delta).sum()
        return case.objective(delta, name) + weight * held + strength * (away**2).sum()

    found = dense(case, settings("closed-form", ridge), prior=prior, prior_weight=weight)[name]

    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1):
        for _ in range(20):
            assert regularised(found) < regularised(found + size * rng.standard_normal(found.shape))


def test_a_prior_pulls_the_delta_towards_the_base_on_generic_inputs():
    case = random_case(4, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=300)
    prior = {"block.in": moment(np.random.default_rng(9), 24, 100, "flat")}

    def drift(weight: float) -> float:
        delta = dense(case, settings("closed-form"), prior=prior, prior_weight=weight)["block.l0"]
        return float(((delta @ prior["block.in"].numpy()) * delta).sum())

    assert drift(10.0) < drift(1.0) < drift(0.0)


def test_directions_that_no_concept_saw_keep_the_average():
    case = random_case(5, concepts=3, part=Part.CROSS_KV, spectrum="flat", tokens=50)
    unseen = np.random.default_rng(0).standard_normal(24)
    unseen /= np.linalg.norm(unseen)
    keep = torch.from_numpy(np.eye(24) - np.outer(unseen, unseen))
    case.moments = [{"block.in": keep @ item["block.in"] @ keep} for item in case.moments]

    for solver in ("closed-form", "lbfgs"):
        for ridge in (0.0, 1e-3):
            delta = dense(case, settings(solver, ridge))["block.l0"]
            np.testing.assert_allclose(delta @ unseen, case.average("block.l0") @ unseen, atol=1e-7)


def test_nearly_collinear_inputs_without_ridge_do_not_explode():
    case = random_case(6, concepts=3, part=Part.CROSS_KV, spectrum="collinear", tokens=3)
    largest = max(np.linalg.norm(case.delta(k, "block.l0")) for k in range(3))

    for solver in ("closed-form", "lbfgs"):
        delta = dense(case, settings(solver, ridge=0.0))["block.l0"]
        assert np.isfinite(delta).all()
        assert np.linalg.norm(delta) <= 1.0001 * GROWTH_LIMIT * largest


def test_the_ridge_is_the_requested_share_of_the_mean_diagonal_where_that_is_enough():
    case = random_case(6, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=300)
    problem = case.problem()
    expected = 0.01 * float(problem.gram.diagonal().mean())

    for solver in ("closed-form", "lbfgs"):
        assert solve(problem, settings(solver, ridge=0.01)).ridge == pytest.approx(expected)
    for solver in ("average", "sum", "none"):
        assert solve(problem, settings(solver, ridge=0.01)).ridge == 0


def test_every_solver_raises_the_ridge_alike_when_the_minimum_would_explode():
    case = random_case(6, concepts=2, part=Part.CROSS_KV, spectrum="flat", tokens=3)
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(24)
    inputs = [shared + 1e-3 * rng.standard_normal(24) for _ in range(2)]
    case.moments = [{"block.in": torch.from_numpy(np.outer(x, x))} for x in inputs]
    problem = case.problem()

    first, second = (solve(problem, settings(name, ridge=0.0)) for name in ("closed-form", "lbfgs"))

    assert first.ridge == second.ridge > 0


def test_the_sum_adds_the_weighted_updates_up():
    case = random_case(6, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=300)
    for name, delta in dense(case, settings("sum")).items():
        np.testing.assert_allclose(delta, 3 * case.average(name), atol=1e-12)


def test_the_sum_of_one_weight_for_all_is_the_average_scaled():
    case = random_case(6, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=300)
    plain = {name: case.average(name) for name in ("block.l0", "block.l1")}
    case.updates = [replace(update, weight=0.4 * update.weight) for update in case.updates]

    for name, delta in dense(case, settings("sum")).items():
        np.testing.assert_allclose(delta, 3 * 0.4 * plain[name], atol=1e-12)


def test_no_fusion_leaves_every_layer_as_it_is():
    case = random_case(6, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=300)

    assert not any(delta.any() for delta in dense(case, settings("none")).values())


@pytest.mark.parametrize("solver", ["closed-form", "lbfgs"])
def test_a_ridge_towards_zero_is_that_of_the_plain_normal_equations(solver):
    case = random_case(3, concepts=3, part=Part.CROSS_KV, spectrum="flat", tokens=300)
    gram = sum(item["block.in"] for item in case.moments).numpy()
    target = sum(
        case.delta(k, "block.l0") @ item["block.in"].numpy() for k, item in enumerate(case.moments)
    )
    held = gram + 0.02 * gram.diagonal().mean() * np.eye(24)

    found = dense(case, settings(solver, 0.02, ridge_target=RidgeTarget.ZERO))["block.l0"]

    np.testing.assert_allclose(found, target @ np.linalg.inv(held), rtol=1e-6, atol=1e-9)


def test_a_ridge_pulls_harder_towards_what_it_is_told_to():
    case = random_case(3, concepts=3, part=Part.CROSS_KV, spectrum="flat", tokens=300)

    def found(target: str) -> np.ndarray:
        return dense(case, settings("closed-form", 1e6, ridge_target=target))["block.l0"]

    np.testing.assert_allclose(found("zero"), 0, atol=1e-4)
    np.testing.assert_allclose(found("average"), case.average("block.l0"), atol=1e-4)


def test_lbfgs_towards_zero_starts_at_the_base():
    case = random_case(3, concepts=3, part=Part.SPATIAL, spectrum="steep", tokens=300)
    few = settings("lbfgs", lbfgs_steps=dict.fromkeys(Part, 1), ridge_target="zero")
    problem = case.problem()

    (step, *_), layer = solve(problem, few).reduced, problem.layers[0]

    np.testing.assert_allclose(
        step / step.norm(), layer.target / layer.target.norm(), rtol=0, atol=1e-12
    )


def test_moments_that_are_all_zero_give_the_average():
    case = random_case(7, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=50)
    case.moments = [{"block.in": torch.zeros(24, 24, dtype=torch.float64)} for _ in range(3)]

    for solver in (Solver.CLOSED_FORM, Solver.LBFGS, Solver.AVERAGE):
        np.testing.assert_allclose(
            dense(case, settings(solver))["block.l0"], case.average("block.l0"), atol=1e-12
        )


def test_the_scale_of_the_moments_does_not_matter():
    for solver in ("closed-form", "lbfgs"):
        case = random_case(8, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=50)
        before = dense(case, settings(solver))["block.l0"]
        case.moments = [{"block.in": item["block.in"] * 2.0**-40} for item in case.moments]
        np.testing.assert_allclose(dense(case, settings(solver))["block.l0"], before, rtol=1e-9)


def test_lbfgs_gets_at_least_as_far_as_torch_does_in_as_many_steps():
    for seed, steps in itertools.product(range(6), (5, 20, 50)):
        case = random_case(seed, concepts=4, part=Part.SPATIAL, spectrum="steep", tokens=100)
        matrix = case.problem().gram
        pull = case.problem().layers[0].pull

        def loss(point: torch.Tensor, matrix=matrix, pull=pull) -> torch.Tensor:
            return ((point @ matrix - 2 * pull) * point).sum()

        point = torch.zeros_like(pull, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [point],
            lr=1,
            max_iter=steps,
            max_eval=10 * steps,
            history_size=25,
            tolerance_grad=1e-16,
            tolerance_change=1e-16,
            line_search_fn="strong_wolfe",
        )

        def closure(point=point, optimiser=optimiser, loss=loss) -> torch.Tensor:
            optimiser.zero_grad()
            value = loss(point)
            value.backward()
            return value

        optimiser.step(closure)
        values, vectors = torch.linalg.eigh(matrix)
        ours = minimise(values, pull @ vectors, steps) @ vectors.T

        assert float(loss(ours)) <= float(loss(point.detach())) * (1 - 1e-12)


def test_solving_twice_gives_the_same_bits():
    for solver, part in itertools.product(("closed-form", "lbfgs"), Part):
        first, second = (
            solve(
                random_case(9, concepts=3, part=part, spectrum="steep", tokens=50).problem(),
                settings(solver),
            ).reduced
            for _ in range(2)
        )
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
