"""Training pictures: generic scenes, rendered by worker processes and kept in memory."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from PIL import Image
from tinyworld.scene import draw_pair, draw_scene

Box = tuple[float, float, float, float]


def render(first: int, count: int, processes: int = 2) -> tuple[torch.Tensor, list[str]]:
    """Scenes first … first+count-1: pictures (N, 3, 64, 64) uint8, and captions."""
    with get_context("fork").Pool(processes) as pool:
        drawn = pool.map(_draw, range(first, first + count), chunksize=200)
    pictures = torch.from_numpy(np.stack([picture for picture, _ in drawn]))
    return pictures.permute(0, 3, 1, 2).contiguous(), [caption for _, caption in drawn]


@dataclass(frozen=True)
class PairedScenes:
    """Two scenes of each of N objects: pictures (2, N, 3, 64, 64) uint8 and captions (2, N).

    `close` are the same pictures cut to `boxes` (2, N, 4), squares around the object: left, top,
    right, bottom.
    """

    whole: torch.Tensor
    close: torch.Tensor
    boxes: torch.Tensor
    captions: tuple[list[str], list[str]]


def render_pairs(first: int, count: int, processes: int = 2) -> PairedScenes:
    """Pairs first … first+count-1."""
    with get_context("fork").Pool(processes) as pool:
        drawn = pool.map(_draw_pair, range(first, first + count), chunksize=200)
    stacked = torch.from_numpy(np.stack([pictures for pictures, _, _ in drawn]))
    whole, close = stacked.permute(1, 2, 0, 5, 3, 4).contiguous()
    boxes = torch.tensor([boxes for _, boxes, _ in drawn]).transpose(0, 1)
    one, other = zip(*(captions for _, _, captions in drawn), strict=True)
    return PairedScenes(whole, close, boxes, (list(one), list(other)))


def joined(one: PairedScenes, other: PairedScenes) -> PairedScenes:
    """The pairs of both."""
    (a, b), (c, d) = one.captions, other.captions
    return PairedScenes(
        torch.cat([one.whole, other.whole], 1),
        torch.cat([one.close, other.close], 1),
        torch.cat([one.boxes, other.boxes], 1),
        (a + c, b + d),
    )


def _draw(seed: int) -> tuple[np.ndarray, str]:
    scene = draw_scene(seed)
    return np.asarray(scene.image), scene.caption


def _draw_pair(seed: int) -> tuple[np.ndarray, list[Box], tuple[str, str]]:
    """Pictures (2 views, 2 scenes, 64, 64, 3): whole and close; the close ones' boxes; captions."""
    scenes = draw_pair(seed)
    rng = random.Random(f"close-{seed}")
    boxes = [square_around(scene.masks[0], rng.uniform(1.0, 1.5)) for scene in scenes]
    whole = [np.asarray(scene.image) for scene in scenes]
    close = [
        np.asarray(close_view(scene.image, box)) for scene, box in zip(scenes, boxes, strict=True)
    ]
    pictures = np.stack([np.stack(whole), np.stack(close)])
    return pictures, boxes, (scenes[0].caption, scenes[1].caption)


def square_around(mask: Image.Image, margin: float) -> Box:
    """The square around the mask, `margin` times as wide as it."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    reach = max(right - left, bottom - top) * margin / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - reach, y - reach, x + reach, y + reach


def close_view(picture: Image.Image, box: Box) -> Image.Image:
    """What lies in the box, as large as the picture."""
    return picture.transform(picture.size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)


def to_signed(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to float in [-1, 1]."""
    return pictures.float() / 127.5 - 1
