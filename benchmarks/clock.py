"""A clock for work that may run on a GPU."""

from __future__ import annotations

import time

import torch


def now() -> float:
    """Seconds, once everything that was started is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
