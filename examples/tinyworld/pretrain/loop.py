"""What the training scripts share: a schedule over wall-clock time, checkpoints, a log."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

HERE = Path(__file__).parent
RUNS = HERE / "runs"
LOGS = HERE / "log"


class Budget:
    """Minutes of training, counted across restarts, so that the rate is annealed when they end."""

    def __init__(self, minutes: float, spent_s: float = 0.0) -> None:
        self.total_s = minutes * 60
        self._began = time.monotonic() - spent_s

    @property
    def spent_s(self) -> float:
        """Seconds trained so far, earlier runs included."""
        return time.monotonic() - self._began

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, at most 1."""
        return min(1.0, self.spent_s / self.total_s)


def learning_rate(peak: float, progress: float, warmup: float = 0.02, floor: float = 0.01) -> float:
    """Linear warm-up, then half a cosine down to `floor` times the peak."""
    if progress < warmup:
        return peak * max(0.02, progress / warmup)
    phase = (progress - warmup) / (1 - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * phase)))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate


class Average:
    """Exponential moving average of parameters, with a shorter memory in the first steps."""

    def __init__(self, modules: nn.ModuleDict, decay: float = 0.9985) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {k: v.detach().clone() for k, v in modules.state_dict().items()}

    @torch.no_grad()
    def update(self, modules: nn.ModuleDict) -> None:
        """Move towards the current parameters."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        current = modules.state_dict()
        floats = [k for k, v in current.items() if v.is_floating_point()]
        torch._foreach_lerp_(
            [self.weights[k] for k in floats], [current[k] for k in floats], 1 - decay
        )


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill leaves either the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """The last checkpoint, or None; tensors and plain values only."""
    return torch.load(path, weights_only=True) if path.exists() else None


class Log:
    """Appends one JSON object per line; a resumed run drops lines after its checkpoint."""

    def __init__(self, path: Path, last_step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        kept = read_log(path, last_step)
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def write(self, **fields: float) -> None:
        """Append one line and show it."""
        line = {k: round(v, 6) if isinstance(v, float) else v for k, v in fields.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def read_log(path: Path, last_step: int | None = None) -> list[dict[str, float]]:
    """The lines of a log, up to a step."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if last_step is None or line["step"] <= last_step]
