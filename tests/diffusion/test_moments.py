from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mos_diffusion.base_model import find_layer, layer_map
from mos_diffusion.edlora import attach_concept
from mos_diffusion.moments import (
    Recorder,
    pack_triangle,
    read_moments,
    record_moments,
    unpack_triangle,
    write_moments,
)
from mos_diffusion.prompts import layerwise
from mos_protocol.errors import InvalidPackage
from mos_protocol.tensors import check_tensors, check_values, moment_shapes, read_header

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


def test_products_keep_their_precision_under_autocast(base):
    name = "text_encoder.encoder.layers.0.self_attn.in"
    x = torch.randn(50, 32)
    recorder = Recorder(())
    with torch.autocast("cpu", torch.bfloat16):
        recorder.add(name, x)
    torch.testing.assert_close(
        recorder._sums[name], x.T.double() @ x.double(), rtol=1e-5, atol=1e-5
    )


def test_triangle_survives_packing():
    x = torch.randn(7, 5, dtype=torch.float64)
    matrix = x.T @ x
    packed = pack_triangle(matrix)
    assert packed.shape == (15,)
    assert torch.equal(packed[:6], torch.cat([matrix[0], matrix[1, 1:2]]))
    assert torch.equal(unpack_triangle(packed), matrix)


def test_length_of_no_triangle_is_refused():
    with pytest.raises(ValueError, match="no upper triangle"):
        unpack_triangle(torch.zeros(7))


def test_files_survive_and_pass_the_checks_of_the_protocol(base, tmp_path: Path):
    layers, prompts = layer_map(base), layerwise(base)
    with record_moments(base, layers) as recorder:
        forward(base, prompts)
    moments = recorder.moments()
    paths = write_moments(moments, tmp_path)
    assert len(paths) == len(layers.blocks) == 8
    for block, path in zip(layers.blocks, paths, strict=True):
        entries, allowed = read_header(path, path.name), moment_shapes(block)
        check_tensors(entries, allowed, set(allowed), path.name, dtypes=("F32",))
        check_values(path, entries, 1e8, path.name)
        for name, matrix in read_moments(path).items():
            assert torch.equal(matrix, moments[block.name][name].float().double())


def test_file_of_another_kind_is_refused(tmp_path: Path):
    (tmp_path / "unet.mid_block.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InvalidPackage, match="can't be read"):
        read_moments(tmp_path / "unet.mid_block.safetensors")
