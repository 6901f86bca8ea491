"""Concepts that change layers around attention, at ranks of their own, or only one model."""

from __future__ import annotations

import pytest
import torch
from mos_diffusion.adapters import changed_layers, recorded_blocks
from mos_diffusion.base_model import BaseModel, bare_linear, find_layer, layer_map, load_base
from mos_diffusion.concept_file import load_concept, save_concept
from mos_diffusion.edlora import ConceptWeights, LoraFactors, add_deltas, attach_concept
from mos_diffusion.moments import record_moments
from mos_diffusion.prompts import layerwise
from mos_protocol.errors import InvalidRequest

WORDS = ("<potter1>", "<potter2>")
PLACE = "unet.down_blocks.0.attentions.0"
CONV = f"{PLACE}.proj_in"


def foreign_weights(base: BaseModel, wanted, ranks=(1, 3, 16), seed: int = 0) -> ConceptWeights:
    """A concept that changes the layers for which `wanted(name)`, at ranks in turn."""
    generator = torch.Generator().manual_seed(seed)
    layers = [layer for layer in layer_map(base).layers() if wanted(layer.name)]
    lora = {}
    for number, layer in enumerate(layers):
        rank = ranks[number % len(ranks)]
        down = torch.randn(rank, layer.d_in, generator=generator) / layer.d_in**0.5
        up = torch.randn(layer.d_out, rank, generator=generator) * 0.1
        lora[layer.name] = LoraFactors(down, up)
    rows = torch.randn(2, 16, 32, generator=generator) * 0.2
    return ConceptWeights(WORDS, {"text_encoder": rows}, lora)


@torch.no_grad()
def outputs(base: BaseModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 4, 8, 8, generator=generator)
    prompts = layerwise(base)
    states = prompts.encode(["a photo of a cat", "on the beach"])
    result = base.unet(noise, 500, states).sample
    prompts.remove()
    return torch.cat([result.flatten(), states.flatten()])


CHOICES = {
    "everything": lambda name: True,
    "around attention": lambda name: any(part in name for part in ("ff.", "proj_", "mlp")),
    "unet only": lambda name: name.startswith("unet."),
    "text encoder only": lambda name: name.startswith("text_encoder."),
    "convolutions only": lambda name: name.endswith(("proj_in", "proj_out")),
    "nothing": lambda name: False,
}


@pytest.mark.parametrize("wanted", CHOICES.values(), ids=CHOICES.keys())
def test_attached_concept_equals_its_dense_deltas_and_leaves_no_trace(base, wanted):
    weights = foreign_weights(base, wanted)
    before = outputs(base)
    with attach_concept(base, weights):
        attached = outputs(base)
        assert changed_layers(base) == weights.lora.keys()
    assert torch.equal(outputs(base), before)
    assert not changed_layers(base)
    add_deltas(base, {name: f.up.double() @ f.down.double() for name, f in weights.lora.items()})
    torch.testing.assert_close(outputs(base), attached, rtol=1e-4, atol=1e-5)
    assert torch.equal(attached, before) == (not weights.lora)


def test_every_layer_has_its_own_rank_and_its_values_bit_for_bit(base):
    weights = foreign_weights(base, CHOICES["everything"])
    with attach_concept(base, weights) as concept:
        after = concept.weights()
    assert weights.rank == after.rank == 16
    assert after.lora.keys() == weights.lora.keys()
    for layer, factors in weights.lora.items():
        assert torch.equal(after.lora[layer].down, factors.down)
        assert torch.equal(after.lora[layer].up, factors.up)


def test_half_precision_base_runs_with_float32_factors_of_every_kind(base_folder):
    base = load_base(base_folder, dtype=torch.bfloat16)
    with attach_concept(base, foreign_weights(base, CHOICES["everything"])) as concept:
        assert {f.down.dtype for f in concept.lora_factors().values()} == {torch.float32}
        states = layerwise(base).encode("a <potter1> <potter2>")
        noise = torch.zeros(1, 4, 8, 8, dtype=torch.bfloat16)
        assert base.unet(noise, 500, states).sample.dtype == torch.bfloat16


def test_scale_reaches_every_rank_and_kind_of_layer(base):
    weights = foreign_weights(base, CHOICES["everything"])
    half = {name: LoraFactors(f.down, f.up / 2) for name, f in weights.lora.items()}
    with attach_concept(base, weights, scale=0.5):
        scaled = outputs(base)
    with attach_concept(base, ConceptWeights(WORDS, weights.embeddings, half)):
        torch.testing.assert_close(outputs(base), scaled)


def test_concepts_of_different_kinds_add_up_and_come_off_again(base):
    first = foreign_weights(base, CHOICES["unet only"])
    second = foreign_weights(base, CHOICES["text encoder only"], ranks=(4,), seed=1)
    second = ConceptWeights(("<cat1>", "<cat2>"), second.embeddings, second.lora)
    before = outputs(base)
    with attach_concept(base, first):
        alone = outputs(base)
        with attach_concept(base, second):
            assert not torch.allclose(outputs(base), alone)
        assert torch.equal(outputs(base), alone)
    assert torch.equal(outputs(base), before)


def test_attached_factors_of_convolutions_are_matrices_of_the_live_values(base):
    weights = foreign_weights(base, CHOICES["convolutions only"])
    with attach_concept(base, weights) as concept:
        factors = concept.lora_factors()[CONV]
        assert factors.down.dim() == factors.up.dim() == 2
        factors.up.zero_()
        assert concept.weights().lora[CONV].up.abs().max() == 0
        assert not any(p.requires_grad for p in concept.unet_lora_parameters())


def test_weights_of_mixed_ranks_survive_the_file(base, tmp_path):
    weights = foreign_weights(base, CHOICES["everything"])
    save_concept(weights, tmp_path / "concept.safetensors")
    loaded = load_concept(tmp_path / "concept.safetensors", WORDS)
    assert loaded.rank == 16
    assert all(torch.equal(loaded.lora[name].up, f.up) for name, f in weights.lora.items())


@pytest.mark.parametrize(
    "down", [torch.zeros(0, 16), torch.zeros(16), torch.zeros(2, 15), torch.zeros(2, 16, 1, 1)]
)
def test_factors_that_do_not_fit_a_convolution_are_refused(base, down):
    up = torch.zeros(16, len(down))
    weights = ConceptWeights(
        WORDS, {"text_encoder": torch.zeros(2, 16, 32)}, {CONV: LoraFactors(down, up)}
    )
    with pytest.raises(InvalidRequest, match="does not fit"):
        attach_concept(base, weights)
    assert not changed_layers(base)


def test_a_larger_kernel_is_no_linear_layer(base):
    with pytest.raises(TypeError, match="Conv2d"):
        bare_linear(base.unet.conv_in)


def test_layer_map_is_the_same_with_foreign_layers_changed(base):
    before = layer_map(base)
    with attach_concept(base, foreign_weights(base, CHOICES["everything"])):
        assert layer_map(base) == before


def test_only_extra_blocks_that_a_concept_changes_are_recorded(base):
    layers = layer_map(base)
    weights = foreign_weights(base, lambda name: name == CONV)
    assert recorded_blocks(base) == recorded_blocks(base, layers) == layers.blocks
    with attach_concept(base, weights):
        expected = (*layers.blocks, layers.block("unet.down_blocks.0.feed_forward"))
        assert recorded_blocks(base) == recorded_blocks(base, layers) == expected


def test_moments_of_extra_inputs_are_those_of_what_the_layers_read(base):
    seen: dict[str, list[torch.Tensor]] = {}
    extra = [layer for block in layer_map(base).extra_blocks for layer in block.layers]
    with attach_concept(base, foreign_weights(base, CHOICES["everything"])):
        for layer in extra:
            find_layer(base, layer.name).register_forward_pre_hook(
                lambda module, inputs, name=layer.input: seen.setdefault(name, []).append(inputs[0])
            )
        with record_moments(base) as recorder:
            outputs(base)
        moments = recorder.moments()
    found = {name: matrix for block in moments.values() for name, matrix in block.items()}
    for layer in extra:
        (values,) = seen[layer.input]
        rows = values.movedim(1, -1) if values.dim() == 4 else values
        rows = rows.reshape(-1, layer.d_in).double()
        expected = rows.T @ rows / len(rows)
        torch.testing.assert_close(found[layer.input], expected, rtol=1e-4, atol=1e-6)
