"""Compositions: pictures of a scene whose regions have prompts of their own.

    scene = read_scene(Path("scene.yaml").read_text())
    pictures = compose(pipe, scene)

The stock pipeline runs as in `sample`; a scene without regions gives the very same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import torch
from mos_protocol.scene import Scene
from mos_protocol.scene_checks import Rules
from mos_protocol.scene_file import check_scene
from PIL.Image import Image

from mos_diffusion.base_model import BaseModel
from mos_diffusion.conditions import condition_features, guided_by
from mos_diffusion.marking import marked
from mos_diffusion.prompts import LayerwisePrompts
from mos_diffusion.provenance import Provenance
from mos_diffusion.regions import attend_to_regions
from mos_diffusion.sampling import NEGATIVE_PROMPT, decode_latents, prepared_pipeline
from mos_diffusion.scene_pictures import region_grid

OnStep = Callable[[int, int], None]


def compose(
    pipe: BaseModel | Any,
    scene: Scene,
    *,
    folder: Path | None = None,
    adapters: Mapping[str, Any] | None = None,
    batch_size: int = 8,
    on_step: OnStep | None = None,
    watermark: bool = True,
) -> list[Image]:
    """One picture per seed of the scene, from a stock pipeline or a base model.

    folder: where the scene's masks and pictures are, if they are files. adapters: T2I-Adapters by
    the kind of condition. on_step: told (steps done, all steps); what it raises ends the work.
    watermark: as in `sample`. Raises `InvalidRequest` when the scene and the model don't fit.
    """
    seeds = scene.seeds
    batches = [seeds[start : start + batch_size] for start in range(0, len(seeds), batch_size)]
    pictures: list[Image] = []
    for number, batch in enumerate(batches):
        latents = compose_latents(
            pipe,
            scene.model_copy(update={"seeds": batch}),
            folder=folder,
            adapters=adapters,
            on_step=_part_of(on_step, number, len(batches)),
        )
        pictures += decode_latents(pipe, latents)
    return marked(pipe, pictures) if watermark else pictures


def compose_latents(
    pipe: BaseModel | Any,
    scene: Scene,
    *,
    folder: Path | None = None,
    adapters: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
) -> torch.Tensor:
    """The same in one batch, before decoding: latents (len(seeds), c, h, w)."""
    factor = 1 << (len(pipe.vae.config.block_out_channels) - 1)
    words = known_words(pipe.tokenizer)
    check_scene(scene, Rules(words=words, factor=factor, files=folder is not None))
    grid = region_grid(scene, factor, folder)
    features = condition_features(scene, adapters or {}, grid, folder)
    width, height = scene.size
    restricted = ceil(scene.self_attention_share * scene.steps)
    apart = scene.self_attention == "regions" and restricted > 0

    with prepared_pipeline(pipe) as (ready, prompts):
        states = scene_states(prompts, scene)
        with attend_to_regions(ready.unet, grid, apart) as regions, guided_by(ready.unet, features):

            def after(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
                regions.apart = step + 1 < restricted
                if on_step:
                    on_step(step + 1, scene.steps)
                return values

            latents: torch.Tensor = ready(
                **states,
                num_inference_steps=scene.steps,
                guidance_scale=scene.guidance,
                height=height,
                width=width,
                generator=[torch.Generator().manual_seed(seed) for seed in scene.seeds],
                output_type="latent",
                callback_on_step_end=after,
            ).images
    return latents


def scene_provenance(pipe: BaseModel, scene: Scene, model: str | None = None) -> Provenance:
    """What the pictures of the scene say of themselves; `model` is the name it was asked by."""
    return Provenance.of(pipe.published, model).model_copy(
        update={
            "prompt": scene.prompt,
            "negative_prompt": _negative(scene),
            "regions": tuple(region.prompt for region in scene.regions),
            "seeds": scene.seeds,
            "steps": scene.steps,
            "guidance": scene.guidance,
        }
    )


def scene_states(prompts: LayerwisePrompts, scene: Scene) -> dict[str, torch.Tensor]:
    """Arguments for a stock pipeline: context and regions side by side, (B, (1 + R)·L·T, d)."""
    count = len(scene.seeds)
    negative = _negative(scene)
    states = prompts([scene.prompt] * count, negative)
    if not scene.regions:
        return states
    own = prompts(
        [region.prompt for region in scene.regions],
        [negative if r.negative_prompt is None else r.negative_prompt for r in scene.regions],
    )
    return {
        name: torch.cat([context, own[name].flatten(0, 1).expand(count, -1, -1)], dim=1)
        for name, context in states.items()
    }


def _negative(scene: Scene) -> str:
    return NEGATIVE_PROMPT if scene.negative_prompt is None else scene.negative_prompt


def known_words(tokenizer: Any) -> frozenset[str]:
    """The words that prompts for a model may use beside those of its base."""
    return frozenset(word for word in tokenizer.get_added_vocab() if "|" not in word)


def _part_of(on_step: OnStep | None, number: int, batches: int) -> OnStep | None:
    """Tell the steps of one batch of several as steps of all."""
    if on_step is None:
        return None
    return lambda done, steps: on_step(number * steps + done, batches * steps)
