"""Verdicts on moments whose relation is known."""

from __future__ import annotations

import pytest
import torch
from mos_center.fusion.verdict import judge
from mos_diffusion.comparison import Difference, difference
from tiny_package import tiny_layer_map


def a_moment(seed: int, width: int = 24, rank: int = 48) -> torch.Tensor:
    rows = torch.randn(
        rank, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    decay = torch.logspace(0, -3, width, dtype=torch.float64)
    return (rows * decay.sqrt()).T @ (rows * decay.sqrt()) / rank


def in_few_directions(seed: int) -> torch.Tensor:
    return a_moment(seed, rank=2)


def verdict(found: Difference, recording: str = "data") -> dict[str, object]:
    layers = tiny_layer_map()
    return judge({item.name: found for b in layers.blocks for item in b.inputs}, layers, recording)


def test_a_moment_agrees_with_itself_at_any_scale() -> None:
    found = difference(10 * a_moment(0), a_moment(0))

    assert found.energy == pytest.approx(10)
    assert found.overlap == pytest.approx(1)
    assert found.beyond <= 1
    assert found.missing <= 1


def test_what_is_claimed_beyond_and_what_is_missing_are_told_apart() -> None:
    recorded = a_moment(0)

    flat = difference(torch.eye(24, dtype=torch.float64), recorded)
    narrow = difference(in_few_directions(1), recorded)

    assert flat.beyond > 10 > flat.missing
    assert narrow.missing > 5 > narrow.beyond


def test_a_concept_recorded_alike_is_plausible() -> None:
    result = verdict(difference(a_moment(0), a_moment(0)))

    assert result["verdict"] == "plausible"
    assert result["reasons"] == []


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Difference(1, 0.2, 30.0, 1.0), "claim inputs that the concept does not send"),
        (Difference(1, 0.6, 0.1, 30.0), "leave out inputs that the concept sends"),
    ],
    ids=["beyond", "missing"],
)
def test_a_suspicious_concept_comes_with_reasons_and_its_worst_layers(
    found: Difference, reason: str
) -> None:
    result = verdict(found)

    assert result["verdict"] == "suspicious"
    assert all(reason in text for text in result["reasons"])
    assert {"input", "energy", "overlap", "beyond", "missing"} == result["worst"][0].keys()


def test_concepts_recorded_on_templates_are_held_to_closer_bounds() -> None:
    found = Difference(1, 0.9, 0.95, 1.0)

    assert verdict(found, "data")["verdict"] == "plausible"
    assert verdict(found, "templates")["verdict"] == "suspicious"
