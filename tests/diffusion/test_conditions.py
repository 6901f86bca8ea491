"""T2I-Adapters on a tiny model: where their features reach, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionAdapterPipeline, T2IAdapter
from mos_diffusion.composing import compose_latents
from mos_diffusion.conditions import condition_features, load_adapter
from mos_diffusion.sampling import prepared_pipeline
from mos_diffusion.scene_pictures import region_grid
from mos_protocol.errors import InvalidRequest
from mos_protocol.scene import Condition, Region, Scene
from PIL import Image

SKETCH = Condition(kind="sketch", picture="sketch.png")
LEFT = Region(id="left", box=(0, 0, 32, 64), prompt="a cat")


@pytest.fixture
def adapter() -> T2IAdapter:
    torch.manual_seed(0)
    made = T2IAdapter(
        in_channels=1,
        channels=[16, 32, 32, 32],
        num_res_blocks=1,
        downscale_factor=4,
        adapter_type="full_adapter",
    )
    return made.requires_grad_(False).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture = Image.new("L", (64, 64))
    picture.paste(255, (8, 8, 40, 56))
    picture.save(tmp_path / "sketch.png")
    return tmp_path


def scene(condition: Condition = SKETCH, *regions: Region) -> Scene:
    return Scene(
        prompt="a photo of a man",
        negative_prompt="red",
        size=(64, 64),
        steps=2,
        guidance=3.0,
        regions=regions,
        conditions=(condition,),
    )


def test_a_condition_does_what_the_stock_adapter_pipeline_does(base, adapter, folder):
    found = compose_latents(base, scene(), folder=folder, adapters={"sketch": adapter})
    parts = {k: v for k, v in base.pipeline().components.items() if k != "image_encoder"}
    pipe = StableDiffusionAdapterPipeline(adapter=adapter, **parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    with prepared_pipeline(pipe) as (ready, _), Image.open(folder / "sketch.png") as sketch:
        expected = ready(
            prompt="a photo of a man",
            negative_prompt="red",
            image=sketch,
            num_inference_steps=2,
            guidance_scale=3.0,
            width=64,
            height=64,
            generator=[torch.Generator().manual_seed(0)],
            output_type="latent",
        ).images
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_region_has_its_own_weight(adapter, folder):
    weighted = SKETCH.model_copy(update={"weight": 0.5, "region_weights": {"left": 0.0}})
    wanted = scene(weighted, LEFT)
    grid = region_grid(wanted, 4, folder)
    plain = condition_features(scene(), {"sketch": adapter}, grid, folder)
    found = condition_features(wanted, {"sketch": adapter}, grid, folder)
    for whole, own in zip(plain, found, strict=True):
        half = whole.shape[-1] // 2
        assert not own[..., :half].any()
        torch.testing.assert_close(own[..., half:], 0.5 * whole[..., half:])


def test_the_hook_is_gone_after_a_composition(base, adapter, folder):
    compose_latents(base, scene(), folder=folder, adapters={"sketch": adapter})
    assert not base.unet._forward_pre_hooks


def test_a_condition_needs_its_adapter(base, folder):
    with pytest.raises(InvalidRequest, match="condition 1: there is no T2I-Adapter for a sketch"):
        compose_latents(base, scene(), folder=folder)


def test_a_size_that_the_adapter_cannot_halve_is_refused(base, adapter, folder):
    odd = scene().model_copy(update={"size": (72, 64)})
    coarse = T2IAdapter(1, [16] * 4, 1, downscale_factor=16, adapter_type="full_adapter")
    with pytest.raises(InvalidRequest, match="takes no picture of 72×64"):
        compose_latents(base, odd, folder=folder, adapters={"sketch": coarse})


def test_an_adapter_is_loaded_from_its_folder_and_nothing_else(adapter, tmp_path):
    adapter.save_pretrained(tmp_path / "adapter")
    loaded = load_adapter(tmp_path / "adapter", torch.device("cpu"), torch.float32)
    picture = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(loaded(picture), adapter(picture))
    with pytest.raises(InvalidRequest, match="can't be loaded"):
        load_adapter(tmp_path, torch.device("cpu"), torch.float32)
