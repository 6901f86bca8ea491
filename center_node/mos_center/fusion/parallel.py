"""Independent pieces of torch work side by side, one core each, with the same bits on any number.

Sums in torch depend on how many threads share them; a piece that has one thread does not. While
one piece waits for its files another computes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopwatch:
    """Seconds per phase, added up over threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what runs inside under `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[name] += time.perf_counter() - start


def compute_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """What computes, for people: "cpu" or the GPU's name."""
    device = compute_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def workers() -> int:
    """How many pieces run at a time: one per core that this process may use, one for a GPU."""
    if compute_device().type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside: many small products are slower on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def each(work: Callable[[Item], Result], items: Sequence[Item], count: int) -> Iterator[Result]:
    """Results in the order of `items`, up to `count` made at a time; the first error ends it."""
    with (
        one_thread(),
        ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
