from __future__ import annotations

import pytest
import torch
from mos_diffusion.base_model import layer_map
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import record_moments
from mos_diffusion.prompts import layerwise
from mos_diffusion.recorder import ActivationRecorder, mean_moment
from mos_diffusion.recording import record_data, record_paper, record_templates
from mos_diffusion.templates import TEMPLATES

CAPTIONS = ["a photo of <potter1> <potter2>", "<potter1> <potter2> on the beach", "a dog"]
FIRST = "unet.down_blocks.0.attentions.0.transformer_blocks.0"


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_data_recording_is_reproducible_and_depends_on_the_seed(base, random_concept, latents):
    with attach_concept(base, random_concept()):
        prompts = layerwise(base)
        runs = [
            record_data(base, prompts, latents, CAPTIONS, passes=1, seed=seed)[
                "unet.down_blocks.0"
            ][f"{FIRST}.attn1.in"]
            for seed in (1, 1, 2)
        ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_data_recording_counts_every_token_of_every_pass(base, random_concept, latents):
    with attach_concept(base, random_concept()), record_moments(base) as watch:
        record_data(base, layerwise(base), latents, CAPTIONS, passes=2, seed=0, batch_size=4)
    assert watch.counts[f"{FIRST}.attn1.in"] == 2 * 3 * 64
    assert watch.counts[f"{FIRST}.attn2.context"] == 2 * 3 * 32
    # Two captions with concept words in 16 variants, and one without.
    assert watch.counts["text_encoder.encoder.layers.0.self_attn.in"] == 2 * (16 + 16 + 1) * 32


def test_recorded_inputs_are_those_of_the_tuned_model(base, random_concept, latents):
    prompts = layerwise(base)
    moments = []
    for scale in (0.0, 1.0):
        with attach_concept(base, random_concept(), scale=scale):
            moments.append(record_data(base, prompts, latents, CAPTIONS, passes=1, seed=0))
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.in"
    assert not torch.allclose(
        moments[0]["unet.mid_block"][name], moments[1]["unet.mid_block"][name]
    )


def test_prior_of_the_base_is_recorded_without_a_concept(base, latents):
    prior = record_data(base, layerwise(base), latents, ["a cat", "a dog", ""], passes=1, seed=0)
    energies = [matrix.trace() for block in prior.values() for matrix in block.values()]
    assert len(energies) == 84
    assert all(energy > 0 for energy in energies)


def test_captions_must_be_as_many_as_pictures(base, latents):
    with pytest.raises(ValueError, match="3 pictures, but 1 captions"):
        record_data(base, layerwise(base), latents, ["a cat"], seed=0)


def test_paper_recording_keeps_words_and_end_token_only(base, random_concept):
    words = ("<potter1>", "<potter2>")
    with attach_concept(base, random_concept()):
        prompts = layerwise(base)
        moments = record_paper(base, prompts, " ".join(words), steps=2, seed=0)
        with torch.no_grad():
            kept = []
            for text, places in (("photo of a <potter1> <potter2>", [4, 5, 6]),
                                 ("<potter1> <potter2>", [1, 2, 3])):  # fmt: skip
                states = prompts.encode(text).unflatten(1, (16, 32))
                kept.append(states[0, 6, places].double())
    x = torch.cat(kept)
    found = moments["unet.mid_block"][
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.context"
    ]
    torch.testing.assert_close(found, x.T @ x / 6, rtol=1e-4, atol=1e-6)


def test_paper_recording_counts_unpadded_texts_and_unguided_sampling(base, random_concept):
    with attach_concept(base, random_concept()), record_moments(base) as watch:
        record_paper(base, layerwise(base), TRIGGER, steps=2, seed=0)
    assert watch.counts[f"{FIRST}.attn1.in"] == 2 * 64


TRIGGER = "<potter1> <potter2>"


def test_template_recording_counts_both_halves_of_every_step_and_all_tokens(base, random_concept):
    with attach_concept(base, random_concept()), record_moments(base) as watch:
        record_templates(base, layerwise(base), TRIGGER, samples=2, steps=3, seed=0)
    assert watch.counts[f"{FIRST}.attn1.in"] == 2 * 2 * 3 * 64
    assert watch.counts[f"{FIRST}.attn2.context"] == 2 * 2 * 3 * 32
    # Sixteen variants of the prompt, and the negative prompt.
    assert watch.counts["text_encoder.encoder.layers.0.self_attn.in"] == 2 * (16 + 1) * 32


def test_template_recording_is_reproducible_and_depends_on_the_seed(base, random_concept):
    with attach_concept(base, random_concept()):
        prompts = layerwise(base)
        first, again, other = (
            record_templates(base, prompts, TRIGGER, samples=1, steps=2, seed=seed)[
                "unet.down_blocks.0"
            ][f"{FIRST}.attn1.in"]
            for seed in (1, 1, 2)
        )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_template_recording_without_guidance_is_refused(base):
    with pytest.raises(ValueError, match="negative prompt's half"):
        record_templates(base, layerwise(base), TRIGGER, guidance=1.0, seed=0)


def test_templates_are_many_different_contexts_with_one_place_for_the_concept():
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 20
    assert all(template.count("{}") == 1 for template in TEMPLATES)


def test_every_recording_can_keep_the_inputs_themselves(base, random_concept, latents):
    layers = layer_map(base)
    name = f"{FIRST}.attn1.in"
    with attach_concept(base, random_concept()):
        prompts = layerwise(base)
        for record in (
            lambda keep: record_data(base, prompts, latents, CAPTIONS, seed=0, recorder=keep),
            lambda keep: record_paper(base, prompts, TRIGGER, steps=2, seed=0, recorder=keep),
            lambda keep: record_templates(
                base, prompts, TRIGGER, samples=1, steps=2, seed=0, recorder=keep
            ),
        ):
            keep = ActivationRecorder(layers.blocks)
            moments = record(keep)["unet.down_blocks.0"][name]
            rows = keep.activations()["unet.down_blocks.0"][name]
            assert len(rows) == keep.counts[name] > 0
            torch.testing.assert_close(mean_moment(rows), moments)
