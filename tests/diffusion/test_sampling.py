from __future__ import annotations

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from mos_diffusion.attention import has_slices
from mos_diffusion.edlora import attach_concept
from mos_diffusion.prompts import layerwise
from mos_diffusion.sampling import sample, sample_latents

PROMPT = "a photo of <potter1> <potter2> on the beach"


def test_seeds_reproduce_pictures(base, random_concept):
    with attach_concept(base, random_concept()):
        first = sample(base, PROMPT, seeds=[1, 2], steps=3)
        again = sample(base, PROMPT, seeds=[1, 2], steps=3)
    assert [np.asarray(p).shape for p in first] == [(32, 32, 3)] * 2
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert not np.array_equal(np.asarray(first[0]), np.asarray(first[1]))


def test_pictures_are_those_of_the_stock_pipeline_with_the_same_scheduler(base):
    pipe = base.pipeline()
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    expected = pipe(
        "a cat",
        negative_prompt="red",
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    found = sample(base, "a cat", seeds=[5], negative_prompt="red", steps=3)[0]
    assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_sampling_leaves_the_pipeline_as_it_was(base):
    pipe = base.pipeline()
    scheduler = pipe.scheduler
    sample(pipe, "a cat", seeds=[0], steps=2)
    assert pipe.scheduler is scheduler
    assert not has_slices(pipe.unet)
    layerwise(pipe)
    sample(pipe, "a cat", seeds=[0], steps=2)
    assert has_slices(pipe.unet)


def test_seeds_are_made_in_batches(base):
    assert len(sample(base, "a cat", seeds=range(5), steps=1, batch_size=2)) == 5


def test_size_and_guidance_are_passed_on(base):
    small = sample_latents(base, "a cat", seeds=[0], steps=2, height=16, width=24)
    assert small.shape == (1, 4, 4, 6)
    free = sample_latents(base, "a cat", seeds=[0], steps=2, guidance=1.0)
    guided = sample_latents(base, "a cat", seeds=[0], steps=2, guidance=7.5)
    assert not torch.equal(free, guided)
