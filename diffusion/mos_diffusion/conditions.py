"""Conditions: T2I-Adapters whose features reach each region with a weight of its own.

The features of all adapters are added up once per scene and handed to the UNet by a hook on each
call, so that the stock pipeline without conditions is the one that runs with them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import T2IAdapter
from mos_protocol.errors import InvalidRequest
from mos_protocol.scene import Condition, Scene
from PIL import Image
from safetensors import SafetensorError
from torch import nn

from mos_diffusion.region_grid import RegionGrid
from mos_diffusion.scene_pictures import open_picture


def load_adapter(folder: Path | str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A T2I-Adapter from a diffusers folder, safetensors only; raises `InvalidRequest`."""
    try:
        adapter = T2IAdapter.from_pretrained(str(folder), dtype=dtype, use_safetensors=True)
    except (OSError, ValueError, TypeError, LookupError, SafetensorError) as error:
        raise InvalidRequest(
            f"The T2I-Adapter {str(folder)!r} can't be loaded: {error}",
            hint="Give the folder of one in diffusers layout with safetensors files.",
        ) from error
    module: nn.Module = adapter.to(device).requires_grad_(False).eval()
    return module


def condition_features(
    scene: Scene, adapters: Mapping[str, Any], grid: RegionGrid, folder: Path | None
) -> list[torch.Tensor]:
    """What the scene's conditions add to the UNet's down blocks, (1, c, h, w) each; [] for none.

    Raises `InvalidRequest` when there is no adapter of a kind, or its features don't fit.
    """
    total: list[torch.Tensor] = []
    for number, condition in enumerate(scene.conditions, 1):
        where = f"condition {number}"
        adapter = adapters.get(condition.kind)
        if adapter is None:
            raise InvalidRequest(
                f"{where}: there is no T2I-Adapter for a {condition.kind}.",
                hint=f"Give its folder: --adapter {condition.kind}=DIR.",
            )
        image = open_picture(condition.picture, folder, where).resize(scene.size)
        features = _features(adapter, image, where)
        scaled = [
            feature * _weights(condition, scene, grid, feature.shape[-2:]).to(feature)
            for feature in features
        ]
        total = [a + b for a, b in zip(total, scaled, strict=True)] if total else scaled
    return total


@contextmanager
def guided_by(unet: nn.Module, features: Sequence[torch.Tensor]) -> Iterator[None]:
    """Add the features to the UNet's down blocks in every call."""
    if not features:
        yield
        return

    def add(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        # The UNet empties the list that it is given.
        return args, kwargs | {"down_intrablock_additional_residuals": list(features)}

    handle = unet.register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def _features(adapter: Any, image: Image.Image, where: str) -> list[torch.Tensor]:
    mode = "L" if adapter.config.in_channels == 1 else "RGB"
    pixels = torch.from_numpy(np.array(image.convert(mode))).float() / 255
    parameter = next(adapter.parameters())
    batch = pixels.reshape(1, image.height, image.width, -1).permute(0, 3, 1, 2).to(parameter)
    try:
        found: list[torch.Tensor] = adapter(batch)
    except RuntimeError as error:
        raise InvalidRequest(
            f"{where}: its T2I-Adapter takes no picture of {image.width}×{image.height}.",
            hint=f"Choose a size that is a multiple of {adapter.total_downscale_factor}.",
        ) from error
    return found


def _weights(
    condition: Condition, scene: Scene, grid: RegionGrid, shape: Sequence[int]
) -> torch.Tensor:
    """The condition's weight at each pixel of a feature, (h, w); overlaps have the mean."""
    height, width = shape
    if not scene.regions:
        return torch.full((height, width), condition.weight)
    own = [condition.region_weights.get(r.id, condition.weight) for r in scene.regions]
    inside = grid.inside(height * width).float()
    count = inside.sum(0)
    mean = (torch.tensor(own) @ inside) / count.clamp(min=1)
    return torch.where(count > 0, mean, condition.weight).reshape(height, width)
