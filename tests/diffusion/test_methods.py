"""What an untrained concept of each method learns, and that training it is what it should be."""

from __future__ import annotations

import pytest
import torch
from mos_diffusion.base_model import bare_linear, blocks, find_layer
from mos_diffusion.concept_file import load_concept, save_concept
from mos_diffusion.edlora import attach_concept, new_concept
from mos_diffusion.prompts import layerwise
from mos_diffusion.recording import record_paper
from mos_protocol.parts import Part

WORD = ("<mug1>",)
TEXT_LAYER = "text_encoder.encoder.layers.0.self_attn.q_proj"
KEYS = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.context"


def trained(concept) -> list[torch.nn.Parameter]:
    """The parameters that a tuning would change."""
    everything = [
        *concept.embedding_parameters(),
        *concept.text_encoder_lora_parameters(),
        *concept.unet_lora_parameters(),
    ]
    return [parameter for parameter in everything if parameter.requires_grad]


def loss(base, prompt: str) -> torch.Tensor:
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return base.unet(noise, 500, layerwise(base).encode([prompt])).sample.square().mean()


def class_row(base, word: str = "man") -> torch.Tensor:
    (token,) = base.tokenizer(word, add_special_tokens=False).input_ids
    return base.text_encoder.get_input_embeddings().weight[token]


def key_value_layers(base) -> list[str]:
    layers = (layer for block in blocks(base) for layer in block.layers)
    return [layer.name for layer in layers if layer.part == Part.CROSS_KV]


def test_lora_learns_one_embedding_that_all_layers_share(base):
    start = class_row(base).clone()
    with new_concept(base, WORD, "man", rank=2, seed=0, method="lora") as concept:
        rows = concept.embedding_rows()
        assert rows.shape == (1, 1, 32)
        assert torch.equal(rows[0, 0], start)
        loss(base, "a <mug1>").backward()
        assert rows.grad.abs().sum() > 0
        with torch.no_grad():
            rows -= rows.grad
        changed = rows.detach().clone()
        weights = concept.weights()

    assert len(weights.lora) == 136
    assert weights.embeddings["text_encoder"].shape == (1, 16, 32)
    assert all(torch.equal(row, changed[0, 0]) for row in weights.embeddings["text_encoder"][0])


def test_one_embedding_for_all_layers_is_prompted_like_the_same_in_each(base):
    with new_concept(base, WORD, "man", rank=2, seed=0, method="lora") as concept:
        shared = layerwise(base).encode("a <mug1> on the beach")
        weights = concept.weights()
    with attach_concept(base, weights):
        assert torch.equal(layerwise(base).encode("a <mug1> on the beach"), shared)


def test_p_plus_learns_an_embedding_per_layer_and_nothing_else(base):
    start = class_row(base).clone()
    with new_concept(base, WORD, "man", layers="none", seed=0, method="p-plus") as concept:
        assert [parameter.shape for parameter in trained(concept)] == [(1, 16, 32)]
        assert all(torch.equal(row, start) for row in concept.embedding_rows()[0])
        assert not any(p.requires_grad for p in base.unet.parameters())
        weights = concept.weights()

    assert (weights.lora, weights.rank) == ({}, 0)
    with attach_concept(base, weights) as again:
        again.set_scale(0.5)
        assert loss(base, "a <mug1>").isfinite()


def test_custom_diffusion_trains_keys_and_values_as_if_they_were_the_weights(base):
    """The gradient of the trained factor is that of the weight, and so is every step along it."""
    names = key_value_layers(base)
    plain = {name: bare_linear(find_layer(base, name)).weight for name in names}
    with new_concept(
        base, WORD, "man", layers="keys-values", seed=0, method="custom-diffusion"
    ) as concept:
        assert set(concept.lora_factors()) == set(names)
        for weight in plain.values():
            weight.requires_grad_(True)
        loss(base, "a <mug1> man").backward()
        expected = {name: weight.grad.clone() for name, weight in plain.items()}
        found = {}
        for name, factors in concept.lora_factors().items():
            moving = [factor for factor in factors if factor.requires_grad]
            (still,) = (factor for factor in factors if not factor.requires_grad)
            assert torch.equal(still, torch.eye(len(still)))
            assert len(moving) == 1
            found[name] = moving[0].grad
            with torch.no_grad():
                moving[0] -= 0.1 * moving[0].grad
        deltas = {name: f.up @ f.down for name, f in concept.lora_factors().items()}

    for weight in plain.values():
        weight.requires_grad_(False)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(deltas[name], -0.1 * gradient, rtol=1e-4, atol=1e-8)


def test_a_modifier_starts_at_random_and_leaves_the_class_word_alone(base):
    start = class_row(base).clone()
    with new_concept(
        base, WORD, "man", layers="keys-values", seed=0, method="custom-diffusion"
    ) as concept:
        row = concept.embedding_rows().detach()[0, 0]
        assert not torch.allclose(row, start)
        assert row.std().item() == pytest.approx(0.013, rel=0.5)


def test_full_rank_survives_the_file_and_attaching(base, tmp_path):
    with new_concept(
        base, WORD, "man", layers="keys-values", seed=0, method="custom-diffusion"
    ) as concept:
        for parameter in trained(concept):
            parameter.data.add_(0.05)
        expected = loss(base, "a <mug1> man").item()
        weights = concept.weights()
    save_concept(weights, tmp_path / "concept.safetensors")

    with attach_concept(base, load_concept(tmp_path / "concept.safetensors", WORD)):
        assert loss(base, "a <mug1> man").item() == pytest.approx(expected, rel=1e-6)
    widths = {name: min(bare_linear(find_layer(base, name)).weight.shape) for name in weights.lora}
    assert {name: len(f.down) for name, f in weights.lora.items()} == widths


def test_layers_can_be_left_out_for_a_while(base, random_concept):
    weights = random_concept()
    names = key_value_layers(base)
    with attach_concept(base, weights) as concept:
        whole = loss(base, "a <potter1>").item()
        with concept.without(names):
            inside = loss(base, "a <potter1>").item()
        after = loss(base, "a <potter1>").item()
    rest = {name: f for name, f in weights.lora.items() if name not in names}
    with attach_concept(base, type(weights)(weights.words, weights.embeddings, rest)):
        expected = loss(base, "a <potter1>").item()

    assert inside == pytest.approx(expected, rel=1e-6)
    assert after == whole != inside


def test_the_paper_s_recording_keeps_the_class_word_after_a_modifier(base):
    with new_concept(base, WORD, "man", layers="keys-values", seed=0, method="custom-diffusion"):
        prompts = layerwise(base)
        moments = record_paper(base, prompts, "<mug1> man", steps=2, seed=0)
        with torch.no_grad():
            # Each prompt's start token, `photo of a`, then the modifier, the class and the end.
            kept = [
                prompts.encode(text).unflatten(1, (16, 32))[0, 6, places].double()
                for text, places in (
                    ("photo of a <mug1> man", [4, 5, 6]),
                    ("<mug1> man", [1, 2, 3]),
                )
            ]
    x = torch.cat(kept)
    torch.testing.assert_close(moments["unet.mid_block"][KEYS], x.T @ x / 6, rtol=1e-4, atol=1e-6)


def test_a_prompt_is_encoded_once_while_all_layers_share_its_words(base):
    with new_concept(base, WORD, "man", rank=2, seed=0, method="lora") as concept:
        torch.nn.init.normal_(concept.lora_factors()[TEXT_LAYER].up)
        encoded = []
        hook = base.text_encoder.register_forward_pre_hook(
            lambda _, ids: encoded.append(len(ids[0]))
        )
        shared = layerwise(base).encode(["a <mug1>", "a dog"])
        weights = concept.weights()
    with attach_concept(base, weights):
        apart = layerwise(base).encode(["a <mug1>", "a dog"])
    hook.remove()
    assert encoded == [2, 17]
    torch.testing.assert_close(shared, apart)
