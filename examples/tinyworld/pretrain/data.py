"""Training pictures: generic scenes, rendered by worker processes and kept in memory."""

from __future__ import annotations

import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tinyworld.scene import draw_scene


def render(first: int, count: int, processes: int = 2) -> tuple[torch.Tensor, list[str]]:
    """Scenes first … first+count-1: pictures (N, 3, 64, 64) uint8, and captions."""
    with get_context("fork").Pool(processes) as pool:
        drawn = pool.map(_draw, range(first, first + count), chunksize=200)
    pictures = torch.from_numpy(np.stack([picture for picture, _ in drawn]))
    return pictures.permute(0, 3, 1, 2).contiguous(), [caption for _, caption in drawn]


def _draw(seed: int) -> tuple[np.ndarray, str]:
    scene = draw_scene(seed)
    return np.asarray(scene.image), scene.caption


def to_signed(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 to float in [-1, 1]."""
    return pictures.float() / 127.5 - 1
