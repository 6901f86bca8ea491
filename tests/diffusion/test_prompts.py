from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from mos_diffusion.attention import LayerSlice, has_slices
from mos_diffusion.base_model import cross_attention_paths
from mos_diffusion.concept_tokens import token_names, with_concept_tokens
from mos_diffusion.edlora import attach_concept
from mos_diffusion.prompts import layerwise
from mos_protocol.errors import InvalidRequest
from PIL import Image

PROMPT = "a photo of <potter1> <potter2> on the beach"


def run(pipe, seed: int = 0, **arguments) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return pipe(
        num_inference_steps=3, generator=generator, output_type="latent", **arguments
    ).images


class OwnStates:
    """The reference: a processor that is handed its layer's own (B, T, d) states."""

    def __init__(self, inner, states: torch.Tensor) -> None:
        self.inner = inner
        self.states = states

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **kwargs):
        return self.inner(attn, hidden_states, self.states, *args, **kwargs)


def test_flattened_states_equal_own_states_per_layer_bit_for_bit(base, random_concept):
    with attach_concept(base, random_concept()):
        prompts = layerwise(base)
        states = prompts.encode([PROMPT, "a dog"])
        noise, step = torch.randn(2, 4, 8, 8), torch.tensor([300, 700])
        flattened = base.unet(noise, step, states).sample
        prompts.remove()
        for layer, path in enumerate(cross_attention_paths(base.unet)):
            attn = base.unet.get_submodule(path)
            own = states[:, layer * 32 : (layer + 1) * 32].clone()
            attn.set_processor(OwnStates(attn.processor, own))
        expected = base.unet(noise, step, torch.zeros(2, 32, 32)).sample
    assert torch.equal(flattened, expected)


def test_layers_of_a_concept_word_differ_and_plain_prompts_do_not(base, random_concept):
    with attach_concept(base, random_concept()):
        states = layerwise(base).encode([PROMPT, "a dog"]).unflatten(1, (16, 32))
    assert not torch.allclose(states[0, 0], states[0, 1])
    assert torch.equal(states[1, 0], states[1, 15])


def test_states_of_a_layer_are_those_of_its_tokens(base, random_concept):
    with attach_concept(base, random_concept()):
        prompts = layerwise(base)
        states = prompts.encode(PROMPT).unflatten(1, (16, 32))
        spelled = PROMPT.replace("r1>", "r1|5>").replace("r2>", "r2|5>")
        alone = prompts.encode(spelled).unflatten(1, (16, 32))
    torch.testing.assert_close(states[0, 5], alone[0, 0])


def test_plain_prompt_gives_the_picture_of_the_stock_pipeline_exactly(base):
    pipe = base.pipeline()
    expected = run(pipe, prompt=["a cat", "a dog"], negative_prompt=["red", "red"])
    prompts = layerwise(pipe)
    assert torch.equal(run(pipe, **prompts(["a cat", "a dog"], "red")), expected)
    assert torch.equal(
        run(pipe, prompt=["a cat", "a dog"], negative_prompt=["red", "red"]), expected
    )


def test_several_pictures_per_prompt_and_guidance_work(base, random_concept):
    with attach_concept(base, random_concept()):
        pipe = base.pipeline()
        images = run(pipe, **layerwise(pipe)(PROMPT, "red"), num_images_per_prompt=3)
    assert images.shape == (3, 4, 8, 8)


def test_stock_image_to_image_pipeline_takes_flattened_states(base, random_concept):
    picture = Image.new("RGB", (32, 32), "red")
    with attach_concept(base, random_concept()):
        pipe = StableDiffusionImg2ImgPipeline(**base.pipeline().components)
        pipe.set_progress_bar_config(disable=True)
        prompts = layerwise(pipe)
        concept = run(pipe, **prompts(PROMPT), image=picture, strength=0.9)
        plain = run(pipe, **prompts("a dog on the beach"), image=picture, strength=0.9)
        stock = run(pipe, prompt="a dog on the beach", image=picture, strength=0.9)
    assert torch.equal(plain, stock)
    assert not torch.equal(concept, plain)


def test_words_of_a_published_folder_are_found(base, random_concept, tmp_path: Path):
    weights = random_concept()
    rows = weights.embeddings["text_encoder"]
    with attach_concept(base, weights, scale=0):
        expected = layerwise(base).encode(PROMPT)
    tokenizer = with_concept_tokens(base.tokenizer, weights.words, 16)
    base.text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = torch.cat([rows.mean(1, keepdim=True), rows], dim=1).flatten(0, 1)
    base.text_encoder.get_input_embeddings().weight.data[-len(table) :] = table
    base.tokenizer = tokenizer
    base.pipeline().save_pretrained(tmp_path)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert torch.equal(layerwise(pipe).encode(PROMPT), expected)


def test_installing_twice_wraps_once_and_removing_restores(base):
    before = dict(base.unet.attn_processors)
    layerwise(base)
    prompts = layerwise(base)
    wrapped = [p for p in base.unet.attn_processors.values() if isinstance(p, LayerSlice)]
    assert len(wrapped) == 16
    assert not any(isinstance(p.inner, LayerSlice) for p in wrapped)
    prompts.remove()
    assert base.unet.attn_processors == before
    assert not has_slices(base.unet)


def test_attention_slicing_switched_on_later_does_no_harm(base, random_concept):
    with attach_concept(base, random_concept()):
        pipe = base.pipeline()
        prompts = layerwise(pipe)
        expected = run(pipe, **prompts(PROMPT))
        pipe.enable_attention_slicing(1)
        torch.testing.assert_close(run(pipe, **prompts(PROMPT)), expected, rtol=1e-3, atol=1e-3)


def test_long_prompt_is_cut_with_a_warning_as_in_the_stock_pipeline(base):
    pipe, long = base.pipeline(), "a photo of a cat on the beach " * 10
    expected = run(pipe, prompt=long)
    with pytest.warns(UserWarning, match="cut to 32"):
        states = layerwise(pipe)(long)
    assert torch.equal(run(pipe, **states), expected)


def test_words_attached_later_are_found_by_the_same_prompts(base, random_concept):
    prompts = layerwise(base)
    assert prompts.word_tokens() == {}
    with attach_concept(base, random_concept()):
        assert len(prompts.word_tokens()) == 2
    assert prompts.word_tokens() == {}


def test_tokens_for_another_number_of_layers_are_refused(base):
    base.tokenizer = with_concept_tokens(base.tokenizer, ["<potter1>"], 9)
    with pytest.raises(InvalidRequest, match="9 layers; this model has 16"):
        layerwise(base).encode("a <potter1>")


def test_number_of_negative_prompts_must_fit(base):
    with pytest.raises(ValueError, match="2 prompts, but 3 negative"):
        layerwise(base)(["a", "a"], ["red", "blue", "red"])


def test_tokens_of_a_word_are_single_tokens_wherever_they_stand(loaded_base):
    tokenizer = with_concept_tokens(loaded_base.tokenizer, ["<potter1>"], 3)
    first = len(loaded_base.tokenizer)
    for name, expected in zip(token_names("<potter1>", 3), range(first, first + 4), strict=True):
        assert expected in tokenizer(f"a {name}, red").input_ids
        assert expected in tokenizer(f"cat{name}dog").input_ids


def test_the_base_keeps_its_own_tokenizer(loaded_base):
    before = copy.deepcopy(loaded_base.tokenizer.get_vocab())
    with_concept_tokens(loaded_base.tokenizer, ["<potter1>"], 3)
    assert loaded_base.tokenizer.get_vocab() == before
