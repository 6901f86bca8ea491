"""The figures of an evaluation, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mos_center.fusion.evaluation_scores import draw_grid, own_identity, share_kept, summary
from PIL import Image


def unit(*angles: float) -> torch.Tensor:
    """Unit vectors in the plane at these degrees."""
    radians = torch.deg2rad(torch.tensor(angles))
    return torch.stack([radians.cos(), radians.sin()], -1)


def test_identity_is_the_cosine_over_pairs_of_different_seeds_of_one_prompt():
    own = torch.stack([unit(0, 60), unit(90, 90)])
    other = torch.stack([unit(30, 0), unit(270, 90)])

    found = own_identity(own, other)

    # Of the first prompt seed 1 with seed 2, 0° and 0°, and seed 2 with seed 1, 60° and 30°.
    first = (1 + np.cos(np.deg2rad(30))) / 2
    # Of the second 90° with 90°, and 90° with 270°, which counts as nothing and not as less.
    assert found.tolist() == pytest.approx([first, 0.5], abs=1e-6)


def test_the_same_pictures_are_no_more_alike_than_their_seeds_are():
    own = torch.nn.functional.normalize(torch.rand(3, 4, 8), dim=-1)
    pairs = [
        [float(own[p, s] @ own[p, t]) for s in range(4) for t in range(4) if s != t]
        for p in range(3)
    ]

    found = own_identity(own, own)

    assert found.tolist() == pytest.approx([np.mean(row) for row in pairs], abs=1e-6)
    assert found.max() < 1


def identity(class_word: list[float], own: list[float], fused: list[float]) -> dict:
    named = {"class_word": class_word, "own": own, "fused": fused}
    return {name: torch.tensor(values) for name, values in named.items()}


def test_what_is_kept_is_the_way_from_the_class_word_to_the_own_model():
    found = identity([0.4, 0.6], [0.8, 1.0], [0.7, 0.9])

    assert share_kept(found) == pytest.approx(0.75)


def test_a_fused_model_may_keep_more_than_all_and_less_than_nothing():
    assert share_kept(identity([0.4, 0.6], [0.8, 1.0], [0.9, 1.1])) == pytest.approx(1.25)
    assert share_kept(identity([0.4, 0.6], [0.8, 1.0], [0.3, 0.5])) == pytest.approx(-0.25)


@pytest.mark.parametrize(
    "own",
    [[0.3, 0.5], [0.4, 0.6], [0.4, 0.9], [0.405, 0.605]],
)
def test_where_the_own_model_is_not_surely_unlike_the_class_word_it_can_not_be_told(own):
    assert share_kept(identity([0.4, 0.6], own, [0.7, 0.9])) is None


def test_the_mean_over_concepts_leaves_out_what_can_not_be_told():
    def concept(mean: float, kept: float | None) -> dict:
        models = {name: {"mean": mean, "error": 0.0} for name in ("class_word", "own", "fused")}
        return {"text": models, "identity": models, "kept": kept}

    found = summary([concept(0.2, 0.9), concept(0.4, None), concept(0.6, 0.5)])

    assert found["identity"]["fused"] == pytest.approx(0.4)
    assert found["kept"] == pytest.approx(0.7)
    assert summary([concept(0.2, None)])["kept"] is None


def test_a_grid_has_a_row_per_model_and_eight_prompts_at_most(tmp_path):
    tables = {}
    for level, name in enumerate(("class_word", "own", "fused")):
        rows = []
        for prompt in range(20):
            path = tmp_path / f"{name}-{prompt}.png"
            Image.new("RGB", (200, 200), (80 * level, 12 * prompt, 0)).save(path)
            rows.append([path, tmp_path / "another-seed.png"])
        tables[name] = rows

    sheet = Image.open(draw_grid(tables, tmp_path / "grid.png"))

    assert sheet.size == (8 * 160, 3 * 160)
    # Prompts 0, 2, 5, …: spread over all groups.
    corners = [sheet.getpixel((160 * column + 80, 160 * 2 + 80)) for column in range(8)]
    assert [green // 12 for _, green, _ in corners] == [0, 2, 5, 7, 10, 12, 15, 17]
    assert [sheet.getpixel((80, 160 * row + 80))[0] for row in range(3)] == [0, 80, 160]
