from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mos_diffusion.adapters import LoraFactors
from mos_diffusion.base_model import find_layer, layer_map, load_base
from mos_diffusion.edlora import (
    add_deltas,
    attach_concept,
    load_concept,
    new_concept,
    save_concept,
)
from mos_diffusion.prompts import layerwise
from mos_protocol.errors import Conflict, InvalidPackage, InvalidRequest
from mos_protocol.layer_map import Part
from mos_protocol.tensors import check_tensors, check_values, concept_shapes, read_header

WORDS = ("<potter1>", "<potter2>")
EXTRA = (".mlp.", ".ff.", ".proj_in.", ".proj_out.")


@torch.no_grad()
def predict(base, prompt: str = "a photo of a cat") -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 4, 8, 8, generator=generator)
    prompts = layerwise(base)
    result = base.unet(noise, 500, prompts.encode([prompt] * 2)).sample
    prompts.remove()
    return result


def state(base) -> dict[str, torch.Tensor]:
    return {
        **{f"unet.{k}": v for k, v in base.unet.state_dict().items()},
        **{f"text.{k}": v for k, v in base.text_encoder.state_dict().items()},
    }


def test_scale_zero_is_the_base_exactly(base, random_concept):
    expected = predict(base)
    with attach_concept(base, random_concept(), scale=0) as concept:
        assert torch.equal(predict(base), expected)
        concept.set_scale(1)
        assert not torch.allclose(predict(base), expected)


def test_detaching_restores_the_base_exactly(base, random_concept):
    weights, modules = state(base), [name for name, _ in base.unet.named_modules()]
    kinds = [type(module) for module in base.text_encoder.modules()]
    table, tokenizer = base.text_encoder.get_input_embeddings(), base.tokenizer
    expected = predict(base)
    attach_concept(base, random_concept()).detach()
    after = state(base)
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert [name for name, _ in base.unet.named_modules()] == modules
    assert [type(module) for module in base.text_encoder.modules()] == kinds
    assert base.text_encoder.get_input_embeddings() is table
    assert base.tokenizer is tokenizer
    assert torch.equal(predict(base), expected)


def test_attached_delta_is_up_times_down_at_its_scale(base, random_concept):
    weights = random_concept()
    with attach_concept(base, weights, scale=0.7):
        attached = predict(base)
    deltas = {name: 0.7 * (f.up.double() @ f.down.double()) for name, f in weights.lora.items()}
    add_deltas(base, deltas)
    torch.testing.assert_close(predict(base), attached, rtol=1e-3, atol=1e-4)


def test_two_concepts_add_up_and_the_first_survives_the_second(base, random_concept):
    first, second = random_concept(), random_concept(("<cat1>", "<cat2>"), seed=1)
    prompt = "a <potter1> <potter2>"
    with attach_concept(base, first):
        alone = predict(base, prompt)
        with attach_concept(base, second, scale=0):
            assert torch.equal(predict(base, prompt), alone)
        with attach_concept(base, second):
            together = predict(base, prompt)
            assert not torch.allclose(together, alone)
        assert torch.equal(predict(base, prompt), alone)


def test_concepts_are_detached_in_reverse_order(base, random_concept):
    first = attach_concept(base, random_concept())
    second = attach_concept(base, random_concept(("<cat1>", "<cat2>")))
    with pytest.raises(RuntimeError, match="attached last"):
        first.detach()
    second.detach()
    first.detach()
    assert not hasattr(base.unet, "peft_config")


def test_concept_is_detached_when_its_block_fails(base, random_concept):
    expected = predict(base)
    with pytest.raises(ZeroDivisionError), attach_concept(base, random_concept()):
        raise ZeroDivisionError
    assert torch.equal(predict(base), expected)


def test_weights_survive_the_file_bit_for_bit(random_concept, tmp_path: Path):
    weights = random_concept()
    save_concept(weights, tmp_path / "concept.safetensors")
    loaded = load_concept(tmp_path / "concept.safetensors", WORDS)
    assert loaded.words == WORDS
    assert loaded.rank == 2
    assert torch.equal(loaded.embeddings["text_encoder"], weights.embeddings["text_encoder"])
    assert loaded.lora.keys() == weights.lora.keys()
    for layer, factors in weights.lora.items():
        assert torch.equal(loaded.lora[layer].down, factors.down)
        assert torch.equal(loaded.lora[layer].up, factors.up)


def test_weights_survive_attaching_bit_for_bit(base, random_concept):
    weights = random_concept()
    with attach_concept(base, weights) as concept:
        after = concept.weights()
    assert all(torch.equal(after.lora[k].up, f.up) for k, f in weights.lora.items())
    assert torch.equal(after.embeddings["text_encoder"], weights.embeddings["text_encoder"])


def test_same_weights_give_the_same_bytes(random_concept, tmp_path: Path):
    save_concept(random_concept(), tmp_path / "a")
    save_concept(random_concept(), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_file_passes_the_checks_of_the_protocol(loaded_base, random_concept, tmp_path: Path):
    path = tmp_path / "concept.safetensors"
    save_concept(random_concept(), path)
    allowed = concept_shapes(layer_map(loaded_base), words=2, rank=2)
    entries = read_header(path, path.name)
    own = {name for name in allowed if not any(part in name for part in EXTRA)}
    check_tensors(entries, allowed, own, path.name, dtypes=("F32",))
    check_values(path, entries, 1e3, path.name)


def test_file_that_is_no_concept_is_refused(tmp_path: Path):
    (tmp_path / "concept.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(InvalidPackage, match="can't be read"):
        load_concept(tmp_path / "concept.safetensors", WORDS)


def test_file_for_another_number_of_words_is_refused(random_concept, tmp_path: Path):
    save_concept(random_concept(), tmp_path / "concept.safetensors")
    with pytest.raises(InvalidPackage, match="2 words; expected 1"):
        load_concept(tmp_path / "concept.safetensors", WORDS[:1])


def test_gradients_reach_only_the_concept(base):
    concept = new_concept(base, WORDS, "man", rank=2, seed=0)
    for factors in concept.lora_factors().values():
        factors.up.data.normal_()
    states = layerwise(base).encode("a <potter1> <potter2> on the beach")
    # Twice the native size: attention over a single pixel has no gradient.
    base.unet(torch.randn(1, 4, 16, 16), 500, states).sample.square().sum().backward()
    own = [
        *concept.embedding_parameters(),
        *concept.text_encoder_lora_parameters(),
        *concept.unet_lora_parameters(),
    ]
    assert all(parameter.grad.abs().sum() > 0 for parameter in own)
    everything = [*base.unet.parameters(), *base.text_encoder.parameters()]
    reached = {id(p) for p in everything if p.requires_grad or p.grad is not None}
    assert reached == {id(parameter) for parameter in own}
    assert concept.embedding_rows().shape == (2, 16, 32)
    assert (concept.embedding_rows().grad.abs().sum(2) > 0).all()


def test_new_concept_starts_as_the_class_word_after_a_small_random_word(base):
    expected = predict(base)
    class_row = base.text_encoder.get_input_embeddings().weight[base.tokenizer("man").input_ids[1]]
    concept = new_concept(base, WORDS, "man", rank=2, seed=0)
    rows = concept.embedding_rows()
    assert torch.equal(rows[1], class_row.expand(16, -1))
    assert torch.equal(rows[0], rows[0, :1].expand(16, -1))
    assert 0.005 < rows[0, 0].std() < 0.03
    assert all(factors.up.abs().max() == 0 for factors in concept.lora_factors().values())
    bound = 1 / 32**0.5
    down = concept.lora_factors()["text_encoder.encoder.layers.0.self_attn.q_proj"].down
    assert 0.8 * bound < down.abs().max() <= bound
    assert torch.equal(predict(base), expected)


def test_seed_decides_the_start(base):
    starts = []
    for seed in (1, 1, 2):
        concept = new_concept(base, WORDS, "man", rank=2, seed=seed)
        starts.append(concept.weights())
        concept.detach()
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    assert torch.equal(starts[0].lora[layer].down, starts[1].lora[layer].down)
    assert not torch.equal(starts[0].lora[layer].down, starts[2].lora[layer].down)
    assert not torch.equal(
        starts[0].embeddings["text_encoder"][0], starts[2].embeddings["text_encoder"][0]
    )


def test_cross_concept_leaves_spatial_layers_alone(base):
    parts = {layer.name: layer.part for layer in layer_map(base).layers()}
    concept = new_concept(base, WORDS, "man", rank=2, layers="cross", seed=0)
    assert {parts[name] for name in concept.layers} == {Part.TEXT_ENCODER, Part.CROSS_KV}
    assert len(concept.layers) == 8 + 32
    with pytest.raises(AttributeError):
        find_layer(base, "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q").lora_A  # noqa: B018


def test_loading_brings_a_concept_back_to_earlier_weights(base):
    concept = new_concept(base, WORDS, "man", rank=2, seed=0)
    before = concept.weights()
    with torch.no_grad():
        concept.embedding_rows().add_(1)
        for factors in concept.lora_factors().values():
            factors.up.add_(1)
    concept.load(before)
    after = concept.weights()
    assert torch.equal(after.embeddings["text_encoder"], before.embeddings["text_encoder"])
    assert all(torch.equal(after.lora[k].up, before.lora[k].up) for k in before.lora)


def test_class_word_of_several_tokens_is_refused(base):
    with pytest.raises(InvalidRequest, match="'zebra' is 5 tokens"):
        new_concept(base, WORDS, "zebra", rank=2, seed=0)
    assert len(base.tokenizer) == len(load_vocabulary(base))


def load_vocabulary(base) -> dict[str, int]:
    return {k: v for k, v in base.tokenizer.get_vocab().items() if not k.startswith("<potter")}


def test_word_that_is_taken_is_refused(base, random_concept):
    with attach_concept(base, random_concept()), pytest.raises(Conflict, match="<potter1>"):
        attach_concept(base, random_concept())


def test_concept_for_another_base_is_refused_and_the_base_stays_clean(base, random_concept):
    weights = random_concept()
    layer = next(iter(weights.lora))
    wrong = LoraFactors(weights.lora[layer].down[:, :-1], weights.lora[layer].up)
    with pytest.raises(InvalidRequest, match="does not fit"):
        attach_concept(base, replace(weights, lora={**weights.lora, layer: wrong}))
    with pytest.raises(InvalidRequest, match=r"unet\.nowhere\.to_q"):
        attach_concept(base, replace(weights, lora={"unet.nowhere.to_q": weights.lora[layer]}))
    with pytest.raises(InvalidRequest, match="embeddings"):
        attach_concept(base, replace(weights, embeddings={}))
    assert not hasattr(base.unet, "peft_config")


def test_half_precision_base_runs_with_float32_concept(base_folder, random_concept):
    base = load_base(base_folder, dtype=torch.bfloat16)
    with attach_concept(base, random_concept()) as concept:
        states = layerwise(base).encode("a <potter1> <potter2>")
        assert states.dtype == torch.bfloat16
        assert concept.embedding_rows().dtype == torch.float32
        assert {f.down.dtype for f in concept.lora_factors().values()} == {torch.float32}
        noise = torch.randn(1, 4, 8, 8, dtype=torch.bfloat16)
        assert base.unet(noise, 500, states).sample.dtype == torch.bfloat16
