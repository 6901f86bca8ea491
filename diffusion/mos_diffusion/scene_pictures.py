"""The pictures of a scene: masks and what guides it, from files or from the scene itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from mos_protocol.errors import InvalidRequest
from mos_protocol.scene import Scene
from mos_protocol.scene_checks import DATA_URL, picture_bytes, png_size
from PIL import Image

from mos_diffusion.region_grid import RegionGrid

MAX_FILE_BYTES = 16 * 1024 * 1024


def region_grid(scene: Scene, factor: int, folder: Path | None = None) -> RegionGrid:
    """The scene's regions on the feature grids of a model with `factor` pixels per latent.

    folder: where the files of masks are. Raises `InvalidRequest` for a mask that can't be used.
    """
    width, height = scene.size
    masks = torch.zeros(len(scene.regions), height, width, dtype=torch.bool)
    for number, region in enumerate(scene.regions):
        if region.mask is not None:
            masks[number] = _mask(region.mask, folder, scene.size, f"region `{region.id}`")
    return RegionGrid(
        masks=masks,
        boxes=[region.box for region in scene.regions],
        weights=[region.weight for region in scene.regions],
        factor=factor,
    )


def open_picture(picture: str, folder: Path | None, where: str) -> Image.Image:
    """A picture of a scene, given as a data: URL or as a file in `folder`."""
    try:
        data = picture_bytes(picture) if picture.startswith(DATA_URL) else _read(picture, folder)
        png_size(data)
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidRequest(
            f"{where}: the picture {_called(picture)} can't be read: {reason}.",
            hint="Give a PNG in the scene's folder or below.",
        ) from error
    return image


def _mask(picture: str, folder: Path | None, size: tuple[int, int], where: str) -> torch.Tensor:
    image = open_picture(picture, folder, where)
    if image.size != size:
        raise InvalidRequest(
            f"{where}: the mask has {image.width}×{image.height} pixels, "
            f"the picture {size[0]}×{size[1]}.",
            hint="Draw the mask as large as the scene.",
        )
    mask = torch.from_numpy(np.array(image.convert("L"))) >= 128
    if not mask.any():
        raise InvalidRequest(f"{where}: the mask is black.", hint="Draw white where the region is.")
    return mask


def _read(picture: str, folder: Path | None) -> bytes:
    if folder is None:
        raise ValueError("it is no data: URL")
    path = folder / picture
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 20} MB")
    return path.read_bytes()


def _called(picture: str) -> str:
    return "in the scene" if picture.startswith(DATA_URL) else picture
