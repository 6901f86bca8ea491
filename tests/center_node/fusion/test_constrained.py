"""Custom Diffusion's fusion: rows are held exactly, and nothing changes more than that takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layer_problems import Case, factors, moment, one_block
from mos_center.fusion.problem import InputProblem
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.solvers import solve
from mos_center.fusion.solvers.constrained import rows_of
from mos_center.fusion.sums import ConceptUpdate
from mos_protocol.errors import InvalidRequest, JobFailed
from mos_protocol.layer_map import Part

WIDTH = 24
SETTINGS = FusionSettings(Solver.CUSTOM_DIFFUSION)


def inputs(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_normal((count, WIDTH))


def keys_and_values(seed: int, rows: list[np.ndarray], part: Part = Part.CROSS_KV) -> Case:
    """A layer that every concept changes by full-rank factors, at these rows (n, d)."""
    rng = np.random.default_rng(seed)
    block = one_block(WIDTH, 9, part)
    updates = [
        ConceptUpdate(f"ada/c{k}", 0.5 + k, {"block.l0": factors(rng, 9, WIDTH, 9)})
        for k in range(len(rows))
    ]
    return Case(block, updates, [{"block.in": torch.from_numpy(x.T @ x / len(x))} for x in rows])


def generic(seed: int = 9, tokens: int = 400) -> torch.Tensor:
    return moment(np.random.default_rng(seed), WIDTH, tokens, "offset")


def held(case: Case, prior: torch.Tensor | None) -> InputProblem:
    problem = case.problem(prior=None if prior is None else {"block.in": prior})
    problem.rows = {k: rows_of(item["block.in"]) for k, item in enumerate(case.moments) if item}
    return problem


def delta(case: Case, prior: torch.Tensor) -> np.ndarray:
    problem = held(case, prior)
    return (problem.layers[0].basis @ solve(problem, SETTINGS).reduced[0]).numpy()


def regularised(prior: torch.Tensor) -> np.ndarray:
    """G₀ with the thousandth of its mean diagonal that its coding is not faithful to."""
    gram = prior.numpy()
    return gram + 1e-3 * gram.diagonal().mean() * np.eye(WIDTH)


@pytest.mark.parametrize("seed", range(5))
def test_the_closed_form_is_that_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    rows = [inputs(rng, 3), inputs(rng, 4)]
    case, prior = keys_and_values(seed, rows), generic(seed)

    stacked = np.concatenate(rows)
    asked = np.concatenate([x @ case.delta(k, "block.l0").T for k, x in enumerate(rows)])
    d = stacked @ np.linalg.inv(regularised(prior))
    expected = (np.linalg.inv(d @ stacked.T) @ asked).T @ d

    np.testing.assert_allclose(delta(case, prior), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_the_delta_fulfils_the_conditions_of_lagrange(seed):
    rng = np.random.default_rng(seed)
    rows = [inputs(rng, 3), inputs(rng, 2), inputs(rng, 4)]
    case, prior = keys_and_values(seed, rows), generic(seed)
    found = delta(case, prior)

    for k, x in enumerate(rows):
        np.testing.assert_allclose(x @ found.T, x @ case.delta(k, "block.l0").T, atol=1e-8)
    # Where the constraints leave freedom, the gradient of tr(D G₀ Dᵀ) vanishes.
    gradient = found @ regularised(prior)
    free = np.linalg.svd(np.concatenate(rows))[2][9:]
    assert np.abs(gradient @ free.T).max() < 1e-9 * np.abs(gradient).max()


def test_rows_that_contradict_each_other_are_met_as_nearly_as_can_be():
    shared = inputs(np.random.default_rng(0), 2)
    case = keys_and_values(0, [shared, shared])
    middle = (case.delta(0, "block.l0") + case.delta(1, "block.l0")) / 2

    np.testing.assert_allclose(shared @ delta(case, generic()).T, shared @ middle.T, atol=1e-8)


def test_rows_that_differ_by_less_than_coding_blurs_them_do_not_explode():
    rng = np.random.default_rng(0)
    shared = inputs(rng, 2)
    case = keys_and_values(0, [shared, shared + 1e-6 * inputs(rng, 2)])
    largest = max(np.linalg.norm(case.delta(k, "block.l0")) for k in range(2))

    assert np.linalg.norm(delta(case, generic())) < 3 * largest


def test_a_concept_that_changes_nothing_keeps_the_base_at_its_rows():
    rng = np.random.default_rng(1)
    rows = [inputs(rng, 3), inputs(rng, 3)]
    case = keys_and_values(1, rows)
    case.updates[1] = ConceptUpdate("ada/c1", 1.0, {})

    found = delta(case, generic())

    np.testing.assert_allclose(rows[1] @ found.T, 0, atol=1e-8)
    assert np.linalg.norm(rows[0] @ found.T) > 1


def test_without_rows_nothing_changes():
    case = keys_and_values(2, [inputs(np.random.default_rng(2), 3)])
    problem = held(case, generic())
    for rows in ({}, {0: torch.zeros(0, WIDTH, dtype=torch.float64)}):
        problem.rows = rows
        assert not solve(problem, SETTINGS).reduced[0].any()


def test_rows_are_read_off_a_moment_in_spite_of_the_noise_of_its_coding():
    rng = np.random.default_rng(3)
    rows = inputs(rng, 5) * np.logspace(0, -1.5, 5)[:, None]
    gram = torch.from_numpy(rows.T @ rows)
    gram.diagonal().add_(1e-6 * float(torch.linalg.eigvalsh(gram)[-1]))

    basis = rows_of(gram).numpy()

    assert basis.shape == (5, WIDTH)
    np.testing.assert_allclose(rows @ basis.T @ basis, rows, atol=1e-9)
    assert len(rows_of(torch.zeros(WIDTH, WIDTH, dtype=torch.float64))) == 0


def test_it_needs_the_moments_of_generic_inputs():
    case = keys_and_values(4, [inputs(np.random.default_rng(4), 3)])

    with pytest.raises(InvalidRequest, match=r"prior moments of block\.in"):
        solve(held(case, None), SETTINGS)
    with pytest.raises(JobFailed, match="could not be factorised"):
        solve(held(case, torch.zeros(WIDTH, WIDTH, dtype=torch.float64)), SETTINGS)


def test_a_change_of_other_layers_than_keys_and_values_is_refused():
    case = keys_and_values(5, [inputs(np.random.default_rng(5), 3)], Part.SPATIAL)

    with pytest.raises(InvalidRequest, match=r"changes block\.l0"):
        solve(held(case, generic()), SETTINGS)

    case.updates[0] = ConceptUpdate("ada/c0", 0.0, case.updates[0].factors)
    assert not solve(held(case, generic()), SETTINGS).reduced[0].any()
