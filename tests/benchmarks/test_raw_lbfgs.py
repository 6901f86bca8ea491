"""The plain method reaches what ours reaches; both are judged on the activations."""

from __future__ import annotations

import json

import pytest
import torch
from mos_center.fusion.settings import FusionSettings, Solver
from mos_protocol.layer_map import Part
from raw_lbfgs import TINY, draw, fuse_moments, main, moments, raw_lbfgs, squared_error

DATA = draw(TINY[0], 0, torch.device("cpu"))
NO_RIDGE = FusionSettings(Solver.CLOSED_FORM, dict.fromkeys(Part, 1e-6))


def test_the_objective_of_no_change_is_what_the_concepts_ask_for():
    asked = sum(
        float((update @ columns.double()).square().sum())
        for update, columns in zip(DATA.updates(), DATA.activations, strict=True)
    )
    nothing = torch.zeros(32, 32, dtype=torch.float64)
    assert squared_error(DATA, nothing) == pytest.approx(asked, rel=1e-12)


def test_raw_lbfgs_ends_where_the_closed_form_is():
    plain = raw_lbfgs(DATA, 200).double() - DATA.base.double()
    ours = fuse_moments(TINY[0], DATA, moments(DATA), NO_RIDGE)
    best = squared_error(DATA, ours)
    assert best <= squared_error(DATA, plain)
    assert squared_error(DATA, plain) == pytest.approx(best, rel=1e-3)


def test_more_steps_of_raw_lbfgs_never_do_worse():
    errors = [
        squared_error(DATA, raw_lbfgs(DATA, steps).double() - DATA.base.double())
        for steps in (1, 5, 25)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.01 * errors[-1]


def test_the_section_and_the_figures_name_every_layer(tmp_path, capsys):
    main(["--quick", "--steps", "5", "--json", str(tmp_path / "raw.json")])
    figures = json.loads((tmp_path / "raw.json").read_text())
    printed = capsys.readouterr().out
    assert [layer["layer"] for layer in figures["layers"]] == [case.name for case in TINY]
    assert all(f"| {case.name}, {case.width} |" in printed for case in TINY)
    assert all(layer["methods"].keys() >= {"raw LBFGS", "lbfgs"} for layer in figures["layers"])
