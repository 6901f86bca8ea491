"""Fits and interference against their dense definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layer_problems import factors, moment, random_case
from mos_center.fusion.quality import Measure, dense
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.solvers import solve
from mos_center.fusion.sums import ConceptUpdate
from mos_protocol.layer_map import Part


def energy(matrix: np.ndarray, gram: np.ndarray) -> float:
    return float(((matrix @ gram) * matrix).sum())


def measured(case):
    problem = case.problem()
    solution = solve(problem, FusionSettings())
    measure = Measure(problem, solution.reduced, solution.ridge)
    for index, moments in enumerate(case.moments):
        measure.add(index, dense(moments["block.in"]))
    return problem, solution.reduced, measure.layers


@pytest.mark.parametrize("spectrum", ["flat", "steep", "offset"])
def test_fits_are_the_squared_errors_on_the_concept_s_own_inputs(spectrum):
    case = random_case(1, concepts=4, part=Part.SPATIAL, spectrum=spectrum, tokens=60)
    problem, reduced, qualities = measured(case)

    for layer, solution, quality in zip(problem.layers, reduced, qualities, strict=True):
        name, delta = layer.layer.name, (layer.basis @ solution).numpy()
        for fit in quality.fits:
            gram = case.moments[fit.concept]["block.in"].numpy()
            own = case.delta(fit.concept, name)
            size = energy(own, gram) + energy(delta, gram)
            close = {"rel": 1e-4, "abs": 1e-5 * size}
            assert fit.asked == pytest.approx(energy(own, gram), **close)
            assert fit.result == pytest.approx(energy(delta - own, gram), **close)
            assert fit.average == pytest.approx(energy(case.average(name) - own, gram), **close)


def two_concepts(moments, updates=None):
    case = random_case(2, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=60)
    names = {layer.name for layer in case.block.layers}
    assert case.updates[0].factors.keys() == names
    case.updates = updates or [
        ConceptUpdate(f"ada/c{k}", 1.0, random_factors(case.block, k)) for k in range(2)
    ]
    case.moments = [{"block.in": moment} for moment in moments]
    return case


def random_factors(block, seed):
    rng = np.random.default_rng(seed)
    return {layer.name: factors(rng, layer.d_out, layer.d_in, 2) for layer in block.layers}


def test_two_concepts_that_send_the_same_inputs_lose_their_compromise_to_each_other():
    shared = moment(np.random.default_rng(0), 24, 200, "flat")
    _, _, qualities = measured(two_concepts([shared, shared]))

    for quality in qualities:
        lost = sum(fit.result for fit in quality.fits)
        assert quality.collisions()[0, 1] == pytest.approx(lost, rel=0.15)


def test_concepts_that_never_meet_do_not_collide():
    rng = np.random.default_rng(1)
    apart = []
    for half in (slice(0, 12), slice(12, 24)):
        rows = np.zeros((100, 24))
        rows[:, half] = rng.standard_normal((100, 12))
        apart.append(torch.from_numpy(rows.T @ rows / 100))
    _, _, qualities = measured(two_concepts(apart))

    for quality in qualities:
        asked = sum(fit.asked for fit in quality.fits)
        assert quality.collisions().get((0, 1), 0.0) < 1e-3 * asked


def test_concepts_that_ask_for_the_same_do_not_collide():
    case = two_concepts([moment(np.random.default_rng(k), 24, 200, "flat") for k in range(2)])
    twins = [ConceptUpdate(f"ada/c{k}", 1.0, case.updates[0].factors) for k in range(2)]
    _, _, qualities = measured(two_concepts([m["block.in"] for m in case.moments], twins))

    for quality in qualities:
        asked = sum(fit.asked for fit in quality.fits)
        assert quality.collisions().get((0, 1), 0.0) < 1e-6 * asked


def test_a_single_concept_keeps_everything():
    case = random_case(3, concepts=1, part=Part.CROSS_KV, spectrum="flat", tokens=60)
    _, _, qualities = measured(case)
    for quality in qualities:
        (fit,) = quality.fits
        assert fit.result <= 1e-5 * fit.asked


def test_the_fits_of_a_layer_add_up_to_its_objective():
    case = random_case(4, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=60)
    problem, reduced, qualities = measured(case)

    for layer, solution, quality in zip(problem.layers, reduced, qualities, strict=True):
        product = solution @ problem.gram
        objective = float(((product - 2 * layer.target) * solution).sum())
        total = sum(fit.result for fit in quality.fits)
        assert total == pytest.approx(objective + layer.asked, rel=1e-4)
