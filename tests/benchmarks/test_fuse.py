"""What is said about fusions: exceptions from the expected order, differences of deltas."""

from __future__ import annotations

import pytest
import torch
from fuse import Fusions, largest_difference, order_of_objectives
from safetensors.torch import save_file


def test_layers_whose_objectives_are_out_of_order_are_listed():
    order = order_of_objectives(
        {
            "closed-form": _report(good=(0.2, 0.9), worse=(0.5, 0.9), beyond=(0.2, 0.3)),
            "lbfgs": _report(good=(0.3, 0.9), worse=(0.4, 0.9), beyond=(0.4, 0.3)),
        }
    )
    assert order["layers"] == 3
    assert order["exceptions"] == [
        {"layer": "worse", "residuals": [0.5, 0.4, 0.9]},
        {"layer": "beyond", "residuals": [0.2, 0.4, 0.3]},
    ]


def test_a_fusion_in_a_process_of_its_own_tells_what_it_took(tiny, tmp_path):
    fusions = Fusions(tiny, tmp_path / "results")
    figures = fusions.run("pair", tiny.packages, "lbfgs", sums=tmp_path / "sums")
    assert figures["solver"] == "lbfgs"
    assert 0 < figures["fused"] < figures["wall"]
    assert figures["seconds"].keys() >= {"read", "solve", "measure", "write"}
    assert figures["peak"]["resident"] > figures["package_bytes"] > 0
    assert fusions.delta("pair").stat().st_size == figures["delta_bytes"]
    again = fusions.run("again", tiny.packages, sums=tmp_path / "sums")
    assert (figures["reused"], again["reused"]) == (0, 2)


def test_the_difference_of_deltas_does_not_depend_on_their_factors(tmp_path):
    up, down = torch.randn(6, 2), torch.randn(2, 5)
    turn = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    first = _delta(tmp_path / "first", up, down)
    second = _delta(tmp_path / "second", up @ turn, torch.linalg.inv(turn) @ down)
    third = _delta(tmp_path / "third", 1.01 * up, down)
    assert largest_difference(first, first) == 0
    assert largest_difference(first, second) < 1e-6
    assert largest_difference(third, first) == pytest.approx(0.01, rel=1e-3)


def test_deltas_of_different_layers_differ_without_bound(tmp_path):
    first = _delta(tmp_path / "first", torch.ones(2, 1), torch.ones(1, 2))
    second = _delta(tmp_path / "second", torch.ones(2, 1), torch.ones(1, 2), layer="other")
    assert largest_difference(first, second) == float("inf")


def _report(**residuals):
    layers = [
        {"layer": name, "residual": {"base": 1.0, "average": average, "result": result}}
        for name, (result, average) in residuals.items()
    ]
    return {"layers": layers}


def _delta(path, up, down, layer="layer"):
    save_file({f"{layer}.up": up.contiguous(), f"{layer}.down": down.contiguous()}, path)
    return path
