"""Settings are checked where they are made."""

from __future__ import annotations

import pytest
from mos_center.fusion.settings import DEFAULT_RIDGE, FusionSettings, Solver
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part


def test_settings_accept_the_plain_names_of_a_request():
    chosen = FusionSettings("lbfgs", {"cross_kv": 0.5})

    assert chosen.solver is Solver.LBFGS
    assert chosen.ridge[Part.CROSS_KV] == 0.5
    assert chosen.ridge[Part.SPATIAL] == DEFAULT_RIDGE[Part.SPATIAL]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "newton"}, "no solver 'newton'"),
        ({"ridge_target": "base"}, "no ridge target 'base'.*average, zero"),
        ({"ridge": {"unet": 1.0}}, "part 'unet'"),
        ({"ridge": {"spatial": -1.0}}, r"ridge\.spatial is -1"),
        ({"ridge": {"spatial": float("nan")}}, r"ridge\.spatial is nan"),
        ({"prior_weight": float("inf")}, "prior_weight is inf"),
        ({"prior_weight": "much"}, "prior_weight is 'much'"),
        ({"lbfgs_steps": {"spatial": 0}}, r"lbfgs_steps\.spatial is 0"),
    ],
)
def test_wrong_settings_are_refused_with_what_came(arguments, message):
    with pytest.raises(InvalidRequest, match=message):
        FusionSettings(**arguments)


def test_a_ridge_towards_the_average_is_recorded_as_it_ever_was():
    assert "ridge_target" not in FusionSettings("lbfgs").to_json()
    assert FusionSettings("lbfgs", ridge_target="zero").to_json()["ridge_target"] == "zero"
    assert "ridge_target" not in FusionSettings("average", ridge_target="zero").to_json()


def test_only_what_decides_the_result_is_recorded():
    assert "lbfgs_steps" not in FusionSettings("closed-form").to_json()
    assert FusionSettings("lbfgs").to_json()["lbfgs_steps"] == {
        "text_encoder": 500,
        "cross_kv": 500,
        "spatial": 50,
    }
