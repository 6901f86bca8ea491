"""Data-parallel training over processes with one thread each, which wait once a step only.

Start with `torchrun --nproc-per-node N unet.py …`; without torchrun there is one process.
"""

from __future__ import annotations

import os

import torch
from torch import distributed, nn


def join_group() -> tuple[int, int]:
    """Join the processes that torchrun started; return this one's rank and their number."""
    if "WORLD_SIZE" not in os.environ:
        return 0, 1
    distributed.init_process_group("gloo")
    return distributed.get_rank(), distributed.get_world_size()


def average_gradients(modules: nn.Module) -> None:
    """Replace every gradient by its mean over the processes."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad for p in modules.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    pieces = flat.split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def agree_on_progress(progress: float) -> float:
    """The first process's clock decides, so that all stop at the same step."""
    told = torch.tensor(progress, dtype=torch.float64)
    if distributed.is_initialized():
        distributed.broadcast(told, 0)
    return told.item()
