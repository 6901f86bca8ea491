from __future__ import annotations

import pytest
import torch
from mos_diffusion.base_model import find_layer, layer_map
from mos_diffusion.edlora import attach_concept
from mos_diffusion.prompts import layerwise
from mos_diffusion.recorder import ActivationRecorder, Recorder, mean_moment, record_moments
from mos_protocol.layer_map import Block, LayerInput

PROMPTS = ["a photo of <potter1> <potter2>", "a dog"]


@torch.no_grad()
def forward(base, prompts, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 4, 8, 8, generator=generator)
    base.unet(noise, torch.tensor([100, 900]), prompts.encode(PROMPTS))


def hook_count(base) -> int:
    models = (base.unet, base.text_encoder)
    return sum(len(m._forward_pre_hooks) for model in models for m in model.modules())


def test_moments_are_the_mean_outer_product_of_all_inputs(base, random_concept):
    """Against inputs caught at every layer, so that layers that share one must agree."""
    with attach_concept(base, random_concept()):
        prompts, layers = layerwise(base), layer_map(base)
        caught: dict[str, list[torch.Tensor]] = {layer.name: [] for layer in layers.layers()}
        hooks = [
            find_layer(base, name).register_forward_pre_hook(
                lambda _, inputs, kept=kept: kept.append(inputs[0].flatten(0, -2).double())
            )
            for name, kept in caught.items()
        ]
        with record_moments(base, layers) as recorder:
            forward(base, prompts, seed=0)
            forward(base, prompts, seed=1)
        for hook in hooks:
            hook.remove()
    moments = recorder.moments()
    for block in layers.blocks:
        assert moments[block.name].keys() == {item.name for item in block.inputs}
        for layer in block.layers:
            x = torch.cat(caught[layer.name])
            expected = x.T @ x / len(x)
            found = moments[block.name][layer.input]
            assert found.dtype == torch.float64
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_shared_input_is_recorded_once(base):
    prompts = layerwise(base)
    with record_moments(base) as recorder:
        forward(base, prompts)
        assert hook_count(base) == len(recorder.counts) == 2 * 2 + 16 * 5
    first = "unet.down_blocks.0.attentions.0.transformer_blocks.0"
    assert recorder.counts[f"{first}.attn1.in"] == 2 * 64
    assert recorder.counts[f"{first}.attn2.context"] == 2 * 32
    assert recorder.counts["text_encoder.encoder.layers.0.self_attn.in"] == 2 * 32


def test_each_layer_sees_its_own_slice_of_the_prompt(base, random_concept):
    with attach_concept(base, random_concept()):
        prompts = layerwise(base)
        with record_moments(base) as recorder:
            forward(base, prompts)
        with torch.no_grad():
            states = prompts.encode(PROMPTS).unflatten(1, (16, 32)).double()
    moments = recorder.moments()
    x = states[:, 6].flatten(0, 1)
    found = moments["unet.mid_block"][
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.context"
    ]
    torch.testing.assert_close(found, x.T @ x / len(x), rtol=1e-4, atol=1e-6)


def test_hooks_are_removed_after_an_error(base):
    prompts = layerwise(base)
    with record_moments(base):
        during = hook_count(base)
    with pytest.raises(RuntimeError, match="Expected size"), record_moments(base):
        base.unet(torch.zeros(1, 4, 8, 8), 1, prompts.encode("a cat")[..., :-1])
    assert during == 84
    assert hook_count(base) == 0


def test_recording_does_not_change_what_runs(base):
    prompts = layerwise(base)
    with torch.no_grad():
        states, noise = prompts.encode(PROMPTS), torch.randn(2, 4, 8, 8)
        expected = base.unet(noise, 10, states).sample
        with record_moments(base):
            assert torch.equal(base.unet(noise, 10, states).sample, expected)


def test_input_that_saw_nothing_is_an_error(base):
    with record_moments(base) as recorder:
        pass
    with pytest.raises(ValueError, match="84 inputs saw no token"):
        recorder.moments()


NAME = "text_encoder.encoder.layers.0.self_attn.in"
ONE_INPUT = (Block(name="text_encoder", inputs=(LayerInput(name=NAME, width=24),), layers=()),)


def rows_of(count: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Tokens with a strong mean direction."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, 24, generator=generator) + 3).to(dtype)


def recorded(recorder: Recorder) -> torch.Tensor:
    return recorder.moments()["text_encoder"][NAME]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_products_keep_their_precision_whatever_runs(dtype):
    x = rows_of(50, dtype)
    recorder = Recorder(ONE_INPUT)
    with torch.autocast("cpu", torch.bfloat16):
        recorder.add(NAME, x)
    expected = x.double().T @ x.double() / 50
    torch.testing.assert_close(recorded(recorder), expected, rtol=1e-6, atol=1e-6)


def test_thousands_of_batches_lose_no_precision():
    recorder = Recorder(ONE_INPUT)
    expected = torch.zeros(24, 24).double()
    for seed in range(3000):
        x = rows_of(5, seed=seed)
        recorder.add(NAME, x)
        expected += x.double().T @ x.double()
    assert recorder.counts[NAME] == 15_000
    torch.testing.assert_close(recorded(recorder), expected / 15_000, rtol=1e-6, atol=1e-6)


def test_wide_inputs_are_recorded_whole():
    """Wider than what one product is taken of."""
    part = Block(name="a", inputs=(LayerInput(name="a.in", width=1300),), layers=())
    x = torch.randn(40, 1300, generator=torch.Generator().manual_seed(0))
    recorder = Recorder((part,))
    recorder.add("a.in", x[:30].reshape(2, 15, 1300))
    recorder.add("a.in", x[30:])
    found = recorder.moments()["a"]["a.in"]
    assert torch.equal(found, found.T)
    torch.testing.assert_close(found, x.double().T @ x.double() / 40, rtol=1e-5, atol=1e-5)


def test_memory_does_not_grow_with_what_is_recorded():
    recorder = Recorder(ONE_INPUT)
    held = []
    for count in (1, 200):
        for seed in range(count):
            recorder.add(NAME, rows_of(50, seed=seed))
        tensors = (*recorder._sums.values(), *recorder._totals.values())
        held.append(sum(tensor.nbytes for tensor in tensors))
    assert held == [24 * 24 * 4, 24 * 24 * (4 + 8)]


def test_a_moment_may_be_asked_for_in_between():
    recorder = Recorder(ONE_INPUT)
    for seed in range(100):
        recorder.add(NAME, rows_of(3, seed=seed))
        if seed % 30 == 0:
            recorded(recorder)
    x = torch.cat([rows_of(3, seed=seed) for seed in range(100)]).double()
    torch.testing.assert_close(recorded(recorder), x.T @ x / 300, rtol=1e-6, atol=1e-6)


def test_the_tensor_core_setting_is_left_as_it_was():
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    for dtype in (torch.float16, torch.float32):
        Recorder(ONE_INPUT).add(NAME, rows_of(5, dtype))
    assert matmul.allow_tf32 == before


def test_activations_are_kept_as_they_came():
    recorder = ActivationRecorder(ONE_INPUT)
    recorder.add(NAME, rows_of(6, seed=0).reshape(2, 3, 24))
    recorder.add(NAME, rows_of(4, seed=1))
    found = recorder.activations()["text_encoder"][NAME]
    assert torch.equal(found, torch.cat([rows_of(6, seed=0), rows_of(4, seed=1)]).half())
    torch.testing.assert_close(recorded(recorder), mean_moment(found))


def test_too_many_activations_are_thinned_evenly():
    recorder = ActivationRecorder(ONE_INPUT, most=10)
    everything = torch.arange(35.0).reshape(35, 1).expand(35, 24)
    for piece in everything.split(3):
        recorder.add(NAME, piece)
    found = recorder.activations()["text_encoder"][NAME]
    assert found[:, 0].tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32]


@pytest.mark.parametrize("value", [2e4, float("inf"), float("nan")])
def test_activations_that_no_center_would_take_are_refused(value):
    x = rows_of(5)
    x[2, 3] = value
    with pytest.raises(ValueError, match="record moments instead"):
        ActivationRecorder(ONE_INPUT).add(NAME, x)


def test_activations_of_a_run_are_what_its_moments_are_made_of(base):
    prompts, layers = layerwise(base), layer_map(base)
    with record_moments(base, layers, recorder=ActivationRecorder(layers.blocks)) as kept:
        forward(base, prompts)
    with record_moments(base, layers) as summed:
        forward(base, prompts)
    rows, moments = kept.activations(), summed.moments()
    for block in layers.blocks:
        for item in block.inputs:
            found = mean_moment(rows[block.name][item.name])
            torch.testing.assert_close(found, moments[block.name][item.name], rtol=2e-3, atol=2e-3)


def test_activations_of_an_input_that_saw_nothing_are_an_error():
    with pytest.raises(ValueError, match="1 inputs saw no token"):
        ActivationRecorder(ONE_INPUT).activations()


def test_a_mean_moment_of_many_tokens_is_precise():
    x = rows_of(20_000)
    expected = x.double().T @ x.double() / 20_000
    torch.testing.assert_close(mean_moment(x), expected, rtol=1e-6, atol=1e-6)
