"""What a form's fields mean as a request."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from mos_center.dashboard.fusions.draft import Draft, DraftConcept
from mos_center.dashboard.visitor import Fields
from mos_center.domain.models import Solver
from mos_protocol.layer_map import Part
from mos_protocol.part_weights import PartWeights

COMPLETE = "base=small&model=demo&solver=lbfgs&priority=normal&previews=yes&concept=a/b@1"


def draft(more: str = "", fields: str = COMPLETE) -> Draft:
    return Draft.from_fields(Fields(parse_qsl(f"{fields}&{more}", keep_blank_values=True)))


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        (DraftConcept("a/b@1", ""), PartWeights()),
        (DraftConcept("a/b@1", "0,5"), PartWeights.uniform(0.5)),
        (DraftConcept("a/b@1", "spatial=0.5"), PartWeights(spatial=0.5)),
        (DraftConcept("a/b@1", "2", {Part.SPATIAL: "0", Part.CROSS_KV: ""}), PartWeights(2, 2, 0)),
    ],
)
def test_a_part_has_its_own_weight_or_the_concepts(
    concept: DraftConcept, expected: PartWeights
) -> None:
    assert concept.weights() == expected


def test_empty_fields_leave_the_choice_to_the_center() -> None:
    request, problems = draft("prior_weight=&ridge.spatial=&refine_rounds=").read()

    assert problems == {}
    assert request is not None
    assert (request.prior_weight, request.ridge, request.lbfgs_steps) == (None, None, None)
    assert (request.refine_rounds, request.solver, request.previews) == (0, Solver.LBFGS, True)


@pytest.mark.parametrize("missing", ["base=small&", "model=demo&", "&concept=a/b@1"])
def test_an_unfinished_draft_is_no_request_and_nothing_is_wrong(missing: str) -> None:
    assert draft(fields=COMPLETE.replace(missing, "")).read() == (None, {})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = "weight.a/b@1=x&ridge.spatial=-1&lbfgs_steps.spatial=no&refine_rounds=7&export=onnx"

    request, problems = draft(wrong).read()

    assert request is None
    assert problems.keys() == {
        "weight.a/b@1",
        "ridge.spatial",
        "lbfgs_steps.spatial",
        "refine_rounds",
        "export",
    }


@pytest.mark.parametrize(
    ("fields", "solver"),
    [
        ("fuse_method=gradient", Solver.LBFGS),
        ("fuse_method=gradient&weighting=sum", Solver.LBFGS),
        ("fuse_method=weight-average", Solver.AVERAGE),
        ("fuse_method=weight-average&weighting=sum", Solver.SUM),
        ("fuse_method=custom-diffusion", Solver.CUSTOM_DIFFUSION),
        ("fuse_method=none&weighting=sum", Solver.NONE),
    ],
)
def test_the_solver_is_that_of_the_fuse_method(fields: str, solver: Solver) -> None:
    request, problems = draft(fields).read()

    assert problems == {}
    assert request is not None
    assert request.solver is draft(fields).solving_method is solver


@pytest.mark.parametrize(
    "fields", ["fuse_method=magic", "fuse_method=weight-average&weighting=lbfgs"]
)
def test_a_method_that_there_is_not_is_told_at_its_field(fields: str) -> None:
    assert draft(fields).read()[1].keys() == {"fuse_method"}


def test_what_the_fuse_method_has_no_use_for_is_not_read() -> None:
    wrong = "ridge.spatial=-1&lbfgs_steps.spatial=no&prior_weight=x&refine_rounds=7"

    request, problems = draft(f"fuse_method=weight-average&{wrong}").read()

    assert problems == {}
    assert request is not None
    assert (request.ridge, request.prior_weight, request.refine_rounds) == (None, None, 0)


def test_too_many_concepts_are_a_problem_of_the_concepts() -> None:
    many = "&".join(f"concept=a/c{number}@1" for number in range(256))

    assert draft(many).read()[1].keys() == {"concepts"}


def test_weights_that_can_not_be_read_count_as_one_for_the_other_checks() -> None:
    (wanted,) = draft("weight.a/b@1=x").wanted()

    assert (wanted.name, wanted.version, wanted.weights) == ("a/b", 1, PartWeights())
