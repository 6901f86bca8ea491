from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler
from mos_diffusion.noise import (
    denoising_loss,
    encode_pictures,
    noise_scheduler,
    noised,
    resized_mask,
    spread_timesteps,
    time_step_weights,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noised_latents_follow_the_forward_process(base):
    scheduler, latents = noise_scheduler(base), torch.randn(3, 4, 8, 8)
    batch = noised(latents, scheduler, seeded())
    alpha = scheduler.alphas_cumprod[batch.timesteps].view(-1, 1, 1, 1)
    expected = alpha.sqrt() * latents + (1 - alpha).sqrt() * batch.target
    torch.testing.assert_close(batch.latents, expected)


def test_noise_offset_shifts_whole_channels_and_is_part_of_the_target(base):
    scheduler, latents = noise_scheduler(base), torch.zeros(2, 4, 8, 8)
    plain = noised(latents, scheduler, seeded(), timesteps=torch.tensor([5, 500]))
    moved = noised(latents, scheduler, seeded(), 0.5, timesteps=torch.tensor([5, 500]))
    shift = moved.target - plain.target
    torch.testing.assert_close(shift, shift[..., :1, :1].expand_as(shift))
    assert shift.abs().max() > 0.1


def test_velocity_is_the_target_where_the_base_predicts_it():
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    latents = torch.randn(2, 4, 8, 8)
    batch = noised(latents, scheduler, seeded())
    alpha = scheduler.alphas_cumprod[batch.timesteps].view(-1, 1, 1, 1)
    noise = (batch.latents - alpha.sqrt() * latents) / (1 - alpha).sqrt()
    expected = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    torch.testing.assert_close(batch.target, expected, rtol=1e-3, atol=1e-3)


def test_unknown_prediction_type_is_an_error():
    scheduler = DDPMScheduler(prediction_type="sample")
    with pytest.raises(ValueError, match="'sample'"):
        noised(torch.zeros(1, 4, 8, 8), scheduler, seeded())


def test_seed_decides_noise_and_time_steps(base):
    scheduler, latents = noise_scheduler(base), torch.zeros(2, 4, 8, 8)
    first, again, other = (noised(latents, scheduler, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.latents, again.latents)
    assert torch.equal(first.timesteps, again.timesteps)
    assert not torch.equal(first.latents, other.latents)


def test_spread_time_steps_fall_one_into_each_range(base):
    steps = spread_timesteps(10, noise_scheduler(base), seeded())
    assert sorted((steps // 100).tolist()) == list(range(10))


def test_loss_counts_only_what_the_mask_covers():
    prediction, target = torch.zeros(2, 4, 2, 2), torch.zeros(2, 4, 2, 2)
    target[0, :, 0, 0] = 3
    target[1] = 1
    mask = torch.zeros(2, 1, 2, 2)
    mask[0, :, 0] = 1
    mask[1] = 1
    assert denoising_loss(prediction, target, mask).item() == pytest.approx((9 / 2 + 1) / 2)
    assert denoising_loss(prediction, target).item() == pytest.approx((9 / 4 + 1) / 2)


def test_weights_count_pictures_after_their_masks():
    prediction, target = torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2)
    mask = torch.tensor([1.0, 0.5])[:, None, None, None].expand(2, 1, 2, 2)
    loss = denoising_loss(prediction, target, mask, torch.tensor([0.5, 0.1]))
    assert loss.item() == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("kind", "weighting", "expected"),
    [
        ("epsilon", "min-snr", lambda snr: min(snr, 5) / snr),
        ("v_prediction", "min-snr", lambda snr: min(snr, 5) / (snr + 1)),
        ("epsilon", "debiased", lambda snr: snr**-0.5),
        ("v_prediction", "debiased", lambda snr: snr**0.5 / (snr + 1)),
    ],
)
def test_weightings_are_functions_of_the_signal_to_noise_ratio(base, kind, weighting, expected):
    scheduler = noise_scheduler(base)
    scheduler.register_to_config(prediction_type=kind)
    steps = torch.tensor([10, 300, 999])
    alphas = scheduler.alphas_cumprod[steps].tolist()
    ratios = [alpha / (1 - alpha) for alpha in alphas]
    assert ratios[0] > 5 > ratios[2]
    found = time_step_weights(steps, scheduler, weighting)
    assert found.tolist() == pytest.approx([expected(ratio) for ratio in ratios], rel=1e-4)


def test_an_even_weighting_has_no_weights(base):
    assert time_step_weights(torch.tensor([3]), noise_scheduler(base), "even") is None


def test_empty_mask_counts_as_zero():
    loss = denoising_loss(torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 2, 2))
    assert loss.item() == 0


def test_pictures_become_latents_as_the_stock_pipeline_makes_them(base):
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    latents = encode_pictures(base, pictures)
    expected = base.vae.encode(pictures).latent_dist.mean * base.vae.config.scaling_factor
    assert latents.shape == (2, 4, 8, 8)
    torch.testing.assert_close(latents, expected)
    drawn = encode_pictures(base, pictures, seeded())
    assert not torch.equal(drawn, latents)


def test_masks_are_averaged_onto_latents():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :2] = 1
    assert resized_mask(mask, (2, 2)).tolist() == [[[[0.5, 0.0], [0.5, 0.0]]]]
