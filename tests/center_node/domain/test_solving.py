from __future__ import annotations

from typing import Any

import pytest
from mos_center.domain.models import Export, Solver
from mos_center.domain.solving import DEFAULT_RIDGE, DEFAULT_STEPS, Solving
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part

NAN = float("nan")


def test_what_is_left_out_is_the_default() -> None:
    solving = Solving.of(Solver.LBFGS, ridge={Part.SPATIAL: 0.5}, lbfgs_steps={Part.CROSS_KV: 7})

    assert solving.ridge == {**DEFAULT_RIDGE, Part.SPATIAL: 0.5}
    assert solving.lbfgs_steps == {**DEFAULT_STEPS, Part.CROSS_KV: 7}
    assert (solving.prior_weight, solving.refine_rounds, solving.exports) == (0.0, 0, ())


def test_what_a_solver_has_no_use_for_is_left_out() -> None:
    average = Solving.of(Solver.AVERAGE, ridge={Part.SPATIAL: 0.5}, prior_weight=1, refine_rounds=2)

    assert average == Solving.of(Solver.AVERAGE)
    assert (average.ridge, average.lbfgs_steps, average.prior_weight) == (None, None, 0.0)
    assert Solving.of(Solver.CLOSED_FORM, lbfgs_steps={Part.SPATIAL: 9}).lbfgs_steps is None


def test_what_identifies_a_build_is_what_it_ever_was() -> None:
    """One name more would make every published version anew."""
    assert Solving.of(Solver.CLOSED_FORM, prior_weight=0.1).to_json() == {
        "solver": "closed-form",
        "ridge": {"text_encoder": 1e-3, "cross_kv": 1e-3, "spatial": 1e-3},
        "prior_weight": 0.1,
        "lbfgs_steps": None,
        "refine_rounds": 0,
        "exports": [],
    }


def test_exports_are_named_once_in_one_order() -> None:
    chosen = [Export.SINGLE_FILE, Export.DIFFUSERS_LORA, Export.SINGLE_FILE]

    assert Solving.of(Solver.SUM, exports=chosen).exports == (
        Export.DIFFUSERS_LORA,
        Export.SINGLE_FILE,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": {Part.SPATIAL: NAN}}, r"ridge\.spatial is nan"),
        ({"ridge": {Part.SPATIAL: -1.0}}, r"ridge\.spatial is -1"),
        ({"prior_weight": float("inf")}, "prior_weight is inf"),
        ({"lbfgs_steps": {Part.CROSS_KV: 0}}, r"lbfgs_steps\.cross_kv is 0\. .* 1 to 10000"),
        ({"lbfgs_steps": {Part.CROSS_KV: 10**6}}, r"lbfgs_steps\.cross_kv is 1000000"),
        ({"lbfgs_steps": {Part.CROSS_KV: 1.5}}, r"lbfgs_steps\.cross_kv is 1\.5"),
        ({"refine_rounds": 9}, r"refine_rounds is 9\. .* 0 to 3"),
        ({"refine_rounds": -1}, "refine_rounds is -1"),
    ],
)
@pytest.mark.parametrize("solver", [Solver.LBFGS, Solver.AVERAGE])
def test_a_number_out_of_range_is_refused_by_name(
    solver: Solver, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Solving.of(solver, **options)
