from __future__ import annotations

import pytest
import torch
from mos_diffusion.edlora import attach_concept
from mos_diffusion.evaluation.identity import held_out_loss, identity_kept
from mos_diffusion.prompts import layerwise

CAPTIONS = ["a photo of a cat", "a dog"]


def test_loss_depends_on_the_seed_and_the_model_alone(base, random_concept):
    latents, prompts = torch.randn(2, 4, 8, 8), layerwise(base)

    def loss(seed: int) -> float:
        return held_out_loss(base, prompts, latents, CAPTIONS, seed=seed, draws=2)

    before = loss(0)
    assert loss(0) == before
    assert loss(1) != before
    with attach_concept(base, random_concept()):
        assert loss(0) != before
    assert loss(0) == before


def test_loss_is_one_for_a_model_that_predicts_nothing(base):
    """Unit noise against a prediction of 0."""
    for parameter in base.unet.conv_out.parameters():
        parameter.zero_()
    latents = torch.randn(4, 4, 8, 8)
    loss = held_out_loss(base, layerwise(base), latents, ["a cat"] * 4, seed=0, draws=16)
    assert loss == pytest.approx(1, abs=0.05)


def test_batch_size_does_not_change_the_loss(base):
    latents, prompts = torch.randn(2, 4, 8, 8), layerwise(base)
    losses = [
        held_out_loss(base, prompts, latents, CAPTIONS, seed=0, draws=3, batch_size=size)
        for size in (1, 4)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_own_model_keeps_everything_and_the_class_word_nothing():
    assert identity_kept(0.06, 0.05, 0.05) == pytest.approx(1)
    assert identity_kept(0.06, 0.05, 0.06) == pytest.approx(0)
    assert identity_kept(0.06, 0.05, 0.055) == pytest.approx(0.5)
    assert identity_kept(0.06, 0.05, 0.08) == pytest.approx(-2)


def test_tuning_that_gained_nothing_has_no_share_to_keep():
    with pytest.raises(ValueError, match="gained nothing"):
        identity_kept(0.05, 0.06, 0.05)
