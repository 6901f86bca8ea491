"""Photos as they will be published: upright, opaque, of limited size, without EXIF.

Legend: H, W a photo's own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import torch
from mos_protocol.errors import InvalidRequest
from PIL import Image
from torch import Tensor

from mos_client.tuning.dataset import MIN_SIDE, Dataset, open_rgb

_COLOUR_MODES = {"RGB", "RGBA"}


@dataclass(frozen=True)
class Photo:
    """One photo: pixels (3, H, W) uint8, its caption, and its place in the folder as a PNG.

    `profile` is the file's ICC profile, without which its colours would change.
    """

    place: PurePath
    pixels: Tensor
    caption: str
    profile: bytes | None


@dataclass(frozen=True)
class WrittenPhoto:
    """How a written file differs from its photo: the largest change in 1/255, PSNR in dB."""

    place: PurePath
    largest: int
    psnr: float


def read_photos(folder: Path, data: Dataset, longest_side: int) -> list[Photo]:
    """All pictures of a data set, shrunk where a side is longer than `longest_side` pixels."""
    return [_read(picture.path, folder, picture.caption, longest_side) for picture in data.pictures]


def write_photos(photos: Sequence[Photo], pixels: Sequence[Tensor], out: Path) -> None:
    """Write perturbed pixels (3, H, W) uint8 as PNG files under the photos' own names."""
    for photo, changed in zip(photos, pixels, strict=True):
        path = out / photo.place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(changed.permute(1, 2, 0).numpy()).save(path, icc_profile=photo.profile)


def compare_written(photos: Sequence[Photo], out: Path) -> list[WrittenPhoto]:
    """Read the files back and compare them with the photos."""
    return [_compare(photo, _pixels(Image.open(out / photo.place))) for photo in photos]


def _read(path: Path, folder: Path, caption: str, longest_side: int) -> Photo:
    rgb, alpha = open_rgb(path)
    if alpha is not None:
        # What transparency hid is not the photo's to show.
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    shrink = longest_side / max(rgb.size)
    if shrink < 1:
        width, height = (max(1, round(side * shrink)) for side in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
        if min(rgb.size) < MIN_SIDE:
            raise InvalidRequest(
                f"{path} is too narrow: shrunk to {longest_side} pixels it is {width}x{height}.",
                hint=f"Crop it, or write larger pictures: both sides need {MIN_SIDE} pixels.",
            )
    place = path.relative_to(folder).with_suffix(".png")
    return Photo(place, _pixels(rgb), caption, _profile(path))


def _profile(path: Path) -> bytes | None:
    """The ICC profile, unless the file's colours were converted when it was read."""
    with Image.open(path) as file:
        profile: bytes | None = file.info.get("icc_profile")
        return profile if file.mode in _COLOUR_MODES else None


def _pixels(picture: Image.Image) -> Tensor:
    array = np.asarray(picture.convert("RGB")).copy()
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _compare(photo: Photo, written: Tensor) -> WrittenPhoto:
    change = written.int() - photo.pixels.int()
    error = change.double().square().mean().item()
    psnr = 10 * math.log10(255**2 / error) if error else math.inf
    return WrittenPhoto(photo.place, int(change.abs().max()), psnr)
