"""Sums that grow and shrink, and the sketch that stands for a moment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layer_problems import random_case
from mos_center.fusion.problem import gather
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.solvers import solve
from mos_center.fusion.sums import InputSums, sketched
from mos_protocol.layer_map import Part


def deltas(case, sums) -> list[torch.Tensor]:
    problem = gather(case.block.layers, case.keyed(), sums)
    solution = solve(problem, FusionSettings()).reduced
    return [layer.basis @ reduced for layer, reduced in zip(problem.layers, solution, strict=True)]


@pytest.mark.parametrize("spectrum", ["flat", "steep", "collinear", "offset"])
def test_a_concept_added_and_withdrawn_leaves_no_trace(spectrum):
    case = random_case(1, concepts=4, part=Part.SPATIAL, spectrum=spectrum, tokens=60)
    fresh = random_case(1, concepts=4, part=Part.SPATIAL, spectrum=spectrum, tokens=60)
    fresh.updates, fresh.moments = fresh.updates[:3], fresh.moments[:3]
    sums = case.sums()

    sums.remove("ada/c3", case.moments[3]["block.in"])

    assert sums.concepts.keys() == fresh.sums().concepts.keys()
    for found, expected in zip(deltas(fresh, sums), deltas(fresh, fresh.sums()), strict=True):
        assert float((found - expected).norm()) <= 1e-6 * float(expected.norm())


def test_weights_change_without_reading_a_moment():
    case = random_case(2, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=60)
    sums = case.sums()
    for index, update in enumerate(case.updates):
        case.updates[index] = type(update)(update.name, 0.5 * update.weight, update.factors)

    for found, expected in zip(deltas(case, sums), deltas(case, case.sums()), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_failed_add_leaves_the_sums_as_they_were():
    case = random_case(3, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=60)
    sums = case.sums()
    before = sums.gram.clone()
    bad = torch.full_like(before, float("nan"))

    with pytest.raises(Exception, match="not finite"):
        sums.add("ada/late", case.updates[0], bad)

    assert torch.equal(sums.gram, before)
    assert "ada/late" not in sums.concepts


def test_a_sketch_is_exact_for_few_tokens_and_keeps_the_diagonal_of_many():
    rng = np.random.default_rng(4)
    rows = torch.from_numpy(rng.standard_normal((5, 48)))
    few = torch.from_numpy(rng.standard_normal((20, 48)))
    many = torch.from_numpy(rng.standard_normal((500, 48)))

    low = few.T @ few / 20
    torch.testing.assert_close(sketched(low).apply(rows), rows @ low, rtol=1e-4, atol=1e-4)
    full = many.T @ many / 500
    unit = torch.eye(48, dtype=torch.float64)
    torch.testing.assert_close(
        sketched(full).apply(unit).diagonal(), full.diagonal(), rtol=1e-5, atol=1e-6
    )


def test_a_zero_moment_has_a_sketch_of_zero():
    zero = torch.zeros(12, 12, dtype=torch.float64)
    assert not sketched(zero).apply(torch.eye(12, dtype=torch.float64)).any()


def test_sums_without_any_moment_are_zero():
    assert not InputSums.empty(4).total(None).any()
