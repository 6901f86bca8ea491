"""One step does what the recipe says: loss, mask, learning rates, norm stop."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from mos_client.tuning.batches import Batches, step_generator
from mos_client.tuning.dataset import read_dataset
from mos_client.tuning.loop import TuningLoop
from mos_client.tuning.precision import choose_machine
from mos_diffusion.edlora import new_concept
from mos_diffusion.noise import noise_scheduler, noised
from mos_diffusion.prompts import layerwise
from PIL import Image


@pytest.fixture
def open_loop(tiny_base, make_settings, photos):
    @contextmanager
    def open_it(base=tiny_base, **changes):
        settings = make_settings(**changes)
        data = read_dataset(photos, settings.words)
        rank, seed = settings.rank, settings.seed
        with new_concept(base, settings.words, "dog", rank=rank, seed=seed) as concept:
            batches = Batches(base, data, settings, 32)
            accelerator = choose_machine(settings).accelerator
            steps = settings.steps_for(4)
            yield TuningLoop(base, concept, batches, settings, steps, accelerator, None), concept
        layerwise(base).remove()

    return open_it


def copies(parameters):
    return [parameter.detach().clone() for parameter in parameters]


def all_equal(ones, others):
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def test_the_loss_counts_only_what_the_mask_shows(open_loop, tiny_base, photos, make_settings):
    mask = Image.new("L", (32, 32))
    mask.paste(255, (4, 8, 16, 20))
    for number in range(4):
        mask.save(photos / f"{number}-masklabel.png")
    settings = make_settings()

    with open_loop() as (loop, _), torch.no_grad():
        batch = Batches(tiny_base, read_dataset(photos, settings.words), settings, 32).batch(0)
        generator = step_generator(settings.seed, 0, 0, "noise")
        noisy = noised(batch.latents, noise_scheduler(tiny_base), generator, 0.01)
        states = layerwise(tiny_base).encode(batch.captions)
        prediction = tiny_base.unet(noisy.latents, noisy.timesteps, states).sample
        error = (prediction - noisy.target)[:, :, 2:5, 1:4].square()
        with torch.enable_grad():
            loss = loop.step()

    assert loss == pytest.approx(error.mean().item(), rel=1e-5)


def test_a_caption_that_comes_twice_is_encoded_once_with_the_same_states(open_loop, tiny_base):
    captions = ["a <dot1> <dot2>", "a dog", "a <dot1> <dot2>"]

    with open_loop() as (loop, _), torch.no_grad():
        states = loop._states(captions)
        expected = layerwise(tiny_base).encode(captions)

    assert torch.allclose(states, expected, atol=1e-6)


def test_learning_rates_fall_linearly_from_each_group_s_own(open_loop):
    with open_loop(steps=4) as (loop, _):
        rates = []
        for _ in range(4):
            loop.step()
            rates.append([group["lr"] for group in loop._optimizer.param_groups])

    assert rates == [pytest.approx([1e-2 * s, 1e-3 * s, 1e-3 * s]) for s in (1, 0.75, 0.5, 0.25)]


def test_all_three_groups_are_trained(open_loop):
    with open_loop() as (loop, concept):
        groups = (
            concept.embedding_parameters(),
            concept.text_encoder_lora_parameters(),
            concept.unet_lora_parameters(),
        )
        before = [copies(group) for group in groups]
        loop.step()

        assert [all_equal(a, b) for a, b in zip(before, groups, strict=True)] == [False] * 3


def test_the_norm_stop_freezes_the_embeddings_and_nothing_else(open_loop):
    with open_loop(steps=40, embedding_norm_stop=None) as (_, concept):
        norm = concept.embedding_rows().norm(dim=-1).mean().item()

    with open_loop(steps=40, embedding_norm_stop=norm * 1.001) as (loop, concept):
        while loop.frozen_at is None:
            loop.step()
        rows, lora = concept.embedding_rows().clone(), copies(concept.unet_lora_parameters())
        loop.step()

        assert loop.frozen_at < 40
        assert torch.equal(concept.embedding_rows(), rows)
        assert not all_equal(concept.unet_lora_parameters(), lora)


def test_a_base_with_longer_embeddings_has_no_norm_stop(open_loop):
    with open_loop(embedding_norm_stop=1e-6) as (loop, concept):
        before = copies(concept.embedding_parameters())
        loop.step()

        assert (loop.norm_stop, loop.frozen_at) == (None, None)
        assert not all_equal(concept.embedding_parameters(), before)


def test_the_embeddings_are_tuned_alone_for_the_first_share_of_the_steps(open_loop):
    with open_loop(steps=4, embedding_first=0.5) as (loop, concept):
        lora, rows = copies(concept.unet_lora_parameters()), []
        unchanged = []
        for _ in range(3):
            loop.step()
            rows.append(concept.embedding_rows().detach().clone())
            unchanged.append(all_equal(concept.unet_lora_parameters(), lora))

    assert unchanged == [True, True, False]
    assert not torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[1], rows[2])


def test_layers_are_tuned_early_when_the_embeddings_are_frozen_early(open_loop):
    with open_loop() as (_, concept):
        norm = concept.embedding_rows().norm(dim=-1).mean().item()

    with open_loop(steps=40, embedding_norm_stop=norm * 1.0001, embedding_first=0.9) as (loop, it):
        while loop.frozen_at is None:
            loop.step()
        lora = copies(it.unet_lora_parameters())
        loop.step()

        assert loop.frozen_at < 36
        assert not all_equal(it.unet_lora_parameters(), lora)


def test_dropped_keys_and_values_get_no_gradient_in_their_step(open_loop):
    kv = [f"attn2.to_{half}" for half in "kv"]
    with open_loop(steps=40, kv_drop=0.5, prior_penalty=0.0) as (loop, concept):
        loop.step()
        moved = {
            name: bool(factors.up.abs().sum() > 0)
            for name, factors in concept.lora_factors().items()
        }
        loss = loop.step()

    dropped = [name for name, has in moved.items() if name.endswith(tuple(kv)) and not has]
    assert 4 < len(dropped) < 28
    rest = {name for name, has in moved.items() if not has} - set(dropped)
    # The middle of the tiny UNet is one pixel, which attends to itself whatever q and k are.
    assert {name.rpartition("attn")[2] for name in rest} <= {"1.to_q", "1.to_k"}
    assert loss > 0


def test_a_weighting_makes_less_of_steps_with_little_noise(open_loop):
    def losses(weighting):
        with open_loop(loss_weighting=weighting, steps=20) as (loop, _):
            return [loop._denoising_loss(step, loop._batches, "noise").item() for step in range(16)]

    even, capped, debiased = map(losses, ("even", "min-snr", "debiased"))
    assert all(a >= b > 0 for a, b in zip(even, capped, strict=True))
    assert sum(capped) < sum(even)
    assert max(debiased) > max(even)


def test_other_layers_are_dropped_in_other_steps_and_the_same_with_the_same_seed(open_loop):
    with open_loop(kv_drop=0.5) as (loop, _):
        first = [loop._dropped(step) for step in range(4)]
    with open_loop(kv_drop=0.5) as (loop, _):
        assert [loop._dropped(step) for step in range(4)] == first
    with open_loop(kv_drop=0.5, seed=4) as (loop, _):
        assert loop._dropped(0) != first[0]

    assert len({tuple(names) for names in first}) == 4
    share = sum(map(len, first)) / (4 * 32)
    assert share == pytest.approx(0.5, abs=0.2)


def test_a_state_that_is_restored_takes_the_same_next_step(open_loop):
    with open_loop(steps=6) as (loop, concept):
        loop.step()
        loop.step()
        state = loop.state()
        state.parameters = {k: v.detach().clone() for k, v in state.parameters.items()}
        state.optimizer = {k: v.clone() for k, v in state.optimizer.items()}
        state.losses = list(state.losses)
        expected = loop.step()
        weights = copies(concept.unet_lora_parameters())

    with open_loop(steps=6) as (loop, concept):
        loop.restore(state)

        assert loop.step() == expected
        assert all_equal(concept.unet_lora_parameters(), weights)


def test_a_velocity_base_is_tuned_on_velocities(open_loop, tiny_base_folder, tiny_base):
    from mos_diffusion.base_model import load_base

    velocity = load_base(tiny_base_folder)
    velocity.scheduler.register_to_config(prediction_type="v_prediction")

    with open_loop() as (loop, _):
        epsilon_loss = loop.step()
    with open_loop(base=velocity) as (loop, _):
        velocity_loss = loop.step()

    assert velocity_loss != pytest.approx(epsilon_loss, rel=1e-3)


def test_mixed_precision_keeps_what_is_trained_in_fp32(open_loop):
    with open_loop() as (loop, _):
        exact = loop.step()
    with open_loop(mixed_precision="bf16") as (loop, concept):
        loss = loop.step()
        parameters = [*concept.embedding_parameters(), *concept.unet_lora_parameters()]

        assert {parameter.dtype for parameter in parameters} == {torch.float32}
    assert loss == pytest.approx(exact, rel=0.02)
    assert loss != exact
