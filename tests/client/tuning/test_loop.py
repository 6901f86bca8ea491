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
