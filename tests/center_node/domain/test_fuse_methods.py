from __future__ import annotations

from typing import Any

import pytest
from concept_packages import write_package
from mos_center.domain.fuse_methods import (
    Changed,
    check_prior,
    loses_change,
    solver_of,
    solvers_of,
    unfit,
)
from mos_center.domain.models import FuseMethod, Solver
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from mos_protocol.manifest import Manifest, read_manifest
from mos_protocol.part_weights import PartWeights


@pytest.fixture
def tuned(tmp_path: Any) -> Manifest:
    """What a package of ED-LoRA says, recorded on its pictures."""
    return read_manifest(write_package(tmp_path / "package"))


def changed(manifest: Manifest, weights: PartWeights = PartWeights(), **told: Any) -> Changed:
    """The concept with something else in its manifest."""
    layers, recording = told.pop("layers", "all"), told.pop("recording", "data")
    assert manifest.training is not None
    training = manifest.training.model_copy(update={"layers": layers})
    moments = manifest.moments.model_copy(update={"recording": recording})
    update = {"training": training, "moments": moments, **told}
    return Changed("ada/potter@1", weights, manifest.model_copy(update=update))


def refusals(concept: Changed, solver: Solver = Solver.CUSTOM_DIFFUSION) -> list[str]:
    return [f"{error.message} {error.hint}" for _, error in unfit(solver, [concept])]


@pytest.mark.parametrize(
    ("method", "solver", "expected"),
    [
        (None, None, Solver.CLOSED_FORM),
        (None, Solver.SUM, Solver.SUM),
        (FuseMethod.GRADIENT, None, Solver.CLOSED_FORM),
        (FuseMethod.GRADIENT, Solver.LBFGS, Solver.LBFGS),
        (FuseMethod.WEIGHT_AVERAGE, None, Solver.AVERAGE),
        (FuseMethod.WEIGHT_AVERAGE, Solver.SUM, Solver.SUM),
        (FuseMethod.CUSTOM_DIFFUSION, None, Solver.CUSTOM_DIFFUSION),
        (FuseMethod.NONE, None, Solver.NONE),
    ],
)
def test_a_method_and_a_solver_mean_a_solver(
    method: FuseMethod | None, solver: Solver | None, expected: Solver
) -> None:
    assert solver_of(method, solver) is expected


@pytest.mark.parametrize(
    ("method", "solver"),
    [
        (FuseMethod.GRADIENT, Solver.AVERAGE),
        (FuseMethod.WEIGHT_AVERAGE, Solver.LBFGS),
        (FuseMethod.NONE, Solver.CUSTOM_DIFFUSION),
    ],
)
def test_a_solver_of_another_method_is_refused_with_both(
    method: FuseMethod, solver: Solver
) -> None:
    with pytest.raises(
        InvalidRequest, match=f"{solver} belongs to .* {solver.method}, not to {method}"
    ):
        solver_of(method, solver)


def test_every_solver_is_of_one_method() -> None:
    assert sorted(one for method in FuseMethod for one in solvers_of(method)) == sorted(Solver)


def test_a_concept_that_changes_more_than_keys_and_values_can_not_be_constrained(
    tuned: Manifest,
) -> None:
    (told,) = refusals(changed(tuned, recording="paper"))

    assert "ada/potter@1 was tuned by ed-lora and changes text_encoder and spatial" in told
    assert "Choose gradient or weight-average" in told
    assert "changes text_encoder" in refusals(changed(tuned, layers="cross", recording="paper"))[0]
    assert refusals(changed(tuned, layers="keys-values", recording="paper")) == []


def test_parts_that_are_weighed_0_do_not_count(tuned: Manifest) -> None:
    weights = PartWeights(text_encoder=0, spatial=0)

    assert refusals(changed(tuned, weights, recording="paper")) == []


def test_an_imported_concept_may_change_anything(tuned: Manifest) -> None:
    imported = tuned.model_copy(update={"method": "imported", "training": None})

    assert Changed("ada/potter@1", PartWeights(), imported).parts == set(Part)


def test_moments_of_every_token_can_not_be_held(tuned: Manifest) -> None:
    (told,) = refusals(changed(tuned, layers="keys-values"))

    assert "recorded its moments by 'data'" in told
    assert "--moments paper" in told


def test_a_concept_that_changes_no_layer_goes_with_every_solver(tuned: Manifest) -> None:
    words_alone = changed(tuned, layers="none")

    for solver in Solver:
        assert refusals(words_alone, solver) == []
    assert not loses_change(Solver.NONE, words_alone)


def test_what_a_concept_changes_is_lost_by_no_fusion_alone(tuned: Manifest) -> None:
    lost = [solver for solver in Solver if loses_change(solver, changed(tuned))]

    assert lost == [Solver.NONE]
    assert [solver for solver in Solver if refusals(changed(tuned), solver)] == [
        Solver.CUSTOM_DIFFUSION
    ]


def test_custom_diffusion_alone_needs_a_prior() -> None:
    for solver in Solver:
        check_prior(solver, "small", has_prior=True)
        if solver is not Solver.CUSTOM_DIFFUSION:
            check_prior(solver, "small", has_prior=False)
    with pytest.raises(InvalidRequest, match="prior moments of base 'small'"):
        check_prior(Solver.CUSTOM_DIFFUSION, "small", has_prior=False)
