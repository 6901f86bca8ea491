"""The reduced problem says the same as the dense one, and bad tensors are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layer_problems import Case, factors, moment, one_block, random_case
from mos_center.fusion.problem import gather, objective
from mos_center.fusion.sums import ConceptUpdate
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part


def test_the_reduced_objective_is_the_dense_one():
    case = random_case(1, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=200)
    problem = case.problem()

    for layer in problem.layers:
        reduced = torch.from_numpy(
            np.random.default_rng(0).standard_normal(tuple(layer.average.shape))
        )
        dense = (layer.basis @ reduced).numpy()
        assert objective(layer, problem.gram, reduced) == pytest.approx(
            case.objective(dense, layer.layer.name), rel=1e-10
        )


def test_the_average_is_the_plain_average_of_the_weighted_deltas():
    case = random_case(2, concepts=4, part=Part.SPATIAL, spectrum="flat", tokens=200)

    for layer in case.problem().layers:
        found = (layer.basis @ layer.average).numpy()
        np.testing.assert_allclose(found, case.average(layer.layer.name), atol=1e-12)


def test_the_basis_is_orthonormal_even_for_collinear_ups_and_leaves_out_zero_columns():
    rng = np.random.default_rng(3)
    block = one_block(10, 12, Part.SPATIAL)
    one = factors(rng, 12, 10, 2)
    twin = one._replace(up=one.up.clone())
    idle = one._replace(up=torch.zeros_like(one.up))
    updates = [
        ConceptUpdate(name, 1.0, {"block.l0": own})
        for name, own in [("a/one", one), ("a/twin", twin), ("a/idle", idle)]
    ]
    moments = [{"block.in": moment(rng, 10, 50, "flat")} for _ in updates]

    (layer,) = Case(block, updates, moments).problem().layers

    assert layer.basis.shape == (12, 4)
    torch.testing.assert_close(layer.basis.T @ layer.basis, torch.eye(4, dtype=torch.float64))


def test_a_layer_that_no_concept_changed_is_left_out():
    rng = np.random.default_rng(4)
    block = one_block(10, 12, Part.SPATIAL, layers=2)
    update = ConceptUpdate("a/one", 1.0, {"block.l1": factors(rng, 12, 10, 2)})

    problem = Case(block, [update], [{"block.in": moment(rng, 10, 50, "flat")}]).problem()

    assert [layer.layer.name for layer in problem.layers] == ["block.l1"]


def test_an_input_whose_layers_no_concept_changed_has_nothing_to_solve():
    block = one_block(10, 12, Part.SPATIAL)
    case = Case(block, [ConceptUpdate("a/one", 1.0, {})], [{}])
    assert case.problem().layers == []


def test_a_concept_without_moments_is_taken_to_send_what_the_others_send():
    case = random_case(12, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=50)
    case.updates.append(ConceptUpdate("a/silent", 1.0, {}))
    case.moments.append({})
    recorded = case.moments[0]["block.in"] + case.moments[1]["block.in"]

    torch.testing.assert_close(case.problem().gram, 1.5 * recorded)


def test_the_prior_stands_in_for_moments_that_a_concept_lacks():
    case = random_case(13, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=50)
    case.updates.append(ConceptUpdate("a/silent", 1.0, {}))
    case.moments.append({})
    prior = {"block.in": moment(np.random.default_rng(1), 24, 100, "flat")}
    recorded = case.moments[0]["block.in"] + case.moments[1]["block.in"]

    torch.testing.assert_close(case.problem(prior=prior).gram, recorded + prior["block.in"])


def test_a_concept_without_lora_in_a_layer_still_holds_the_layer_to_the_base():
    case = random_case(5, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=200)
    case.updates[1] = ConceptUpdate("a/silent", 1.0, {})

    problem = case.problem()

    torch.testing.assert_close(
        problem.gram, case.moments[0]["block.in"] + case.moments[1]["block.in"]
    )


def test_the_squared_error_is_the_objective_plus_what_was_asked():
    case = random_case(6, concepts=3, part=Part.SPATIAL, spectrum="flat", tokens=200)
    problem = case.problem()
    layer = problem.layers[0]
    delta = case.average(layer.layer.name)

    squared = 0.0
    for index in range(3):
        missing = case.delta(index, layer.layer.name) - delta
        squared += float(((missing @ case.moments[index]["block.in"].numpy()) * missing).sum())

    found = objective(layer, problem.gram, layer.average) + layer.asked
    assert found == pytest.approx(squared, rel=1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_moment_that_is_not_finite_is_refused_by_name(bad):
    case = random_case(7, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=50)
    case.moments[1]["block.in"][0, 0] = bad

    with pytest.raises(InvalidRequest, match=r"ada/c1: a moment has values that are not finite"):
        case.problem()


def test_a_missing_moment_is_refused_by_name():
    case = random_case(8, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=50)
    case.moments[0] = {}

    with pytest.raises(InvalidRequest, match=r"ada/c0: the moment of block\.l0's input is missing"):
        case.problem()


def test_factors_of_another_shape_are_refused_by_name():
    case = random_case(9, concepts=1, part=Part.SPATIAL, spectrum="flat", tokens=50)
    odd = ConceptUpdate("ada/c0", 1.0, {"block.l0": factors(np.random.default_rng(0), 7, 9, 2)})

    with pytest.raises(InvalidRequest, match=r"ada/c0: LoRA of block\.l0 has shapes"):
        gather(case.block.layers, {"ada/c0": odd}, case.sums())


def test_a_moment_of_another_shape_is_refused_by_name():
    case = random_case(14, concepts=2, part=Part.SPATIAL, spectrum="flat", tokens=50)
    case.moments[1]["block.in"] = torch.eye(5, dtype=torch.float64)

    with pytest.raises(InvalidRequest, match=r"ada/c1: a moment is \(5, 5\); expected"):
        case.sums()


def test_a_prior_weight_without_a_prior_is_refused():
    case = random_case(10, concepts=1, part=Part.SPATIAL, spectrum="flat", tokens=50)

    with pytest.raises(InvalidRequest, match=r"prior moments of block\.in"):
        case.problem(prior=None, prior_weight=0.1)


def test_a_weight_that_is_not_finite_is_refused():
    case: Case = random_case(11, concepts=1, part=Part.SPATIAL, spectrum="flat", tokens=50)
    case.updates[0] = ConceptUpdate("a/one", float("nan"), case.updates[0].factors)

    with pytest.raises(InvalidRequest, match="weight of a/one"):
        case.problem()
