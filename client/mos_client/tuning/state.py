"""What a killed tuning needs to go on exactly where it was.

Everything random in a step is drawn from (seed, step), and the learning rate is a function of the
step: so the trained parameters, AdamW's moments and the losses so far are the whole state. They
are one safetensors file that appears complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mos_protocol.errors import InvalidRequest
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

STATE_FILE = "state.safetensors"
FORMAT = "mos-tuning/1"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class TuningState:
    """A run after `len(losses)` steps; `scaler` is the fp16 gradient scaler's state."""

    parameters: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    losses: list[float] = field(default_factory=list)
    frozen_at: int | None = None
    scaler: dict[str, float] = field(default_factory=dict)


def fingerprint(settings: Mapping[str, object], **inputs: str) -> str:
    """A sha256 over everything that decides the result: settings, data, base, prior."""
    document = json.dumps({"settings": settings, "inputs": inputs}, sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()


def save_state(work: Path, state: TuningState, *, fingerprint: str) -> None:
    """Write the state file of `work`; a crash at any moment leaves the old one or the new one."""
    work.mkdir(parents=True, exist_ok=True)
    tensors = {f"parameter.{name}": _stored(tensor) for name, tensor in state.parameters.items()}
    tensors |= {f"optimizer.{name}": _stored(tensor) for name, tensor in state.optimizer.items()}
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    rest = {"frozen_at": state.frozen_at, "scaler": state.scaler}
    metadata = {"format": FORMAT, "fingerprint": fingerprint, "state": json.dumps(rest)}
    temporary = work / f"{STATE_FILE}.tmp"
    save_file(tensors, temporary, metadata=metadata)
    sync_file(temporary)
    os.replace(temporary, work / STATE_FILE)


def load_state(work: Path, *, fingerprint: str) -> TuningState | None:
    """The saved state of `work`, or None; raise `InvalidRequest` when it is of another run."""
    path = work / STATE_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InvalidRequest(
            f"{path} can't be read ({error}).", hint="Start over with --restart."
        ) from None
    if metadata.get("format") != FORMAT or metadata.get("fingerprint") != fingerprint:
        raise InvalidRequest(
            f"{work} holds a tuning with other settings, pictures or base model.",
            hint="Go back to those, name another work folder, or start over with --restart.",
        )
    rest = json.loads(metadata["state"])
    return TuningState(
        _named(tensors, "parameter."),
        _named(tensors, "optimizer."),
        tensors["losses"].tolist(),
        rest["frozen_at"],
        rest["scaler"],
    )


def forget_state(work: Path) -> None:
    """Remove the saved state, so that the next run starts at step 0."""
    for name in (STATE_FILE, f"{STATE_FILE}.tmp"):
        (work / name).unlink(missing_ok=True)


def optimizer_tensors(optimizer: Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """AdamW's moments as `<parameter>.<moment>`; parameters that never got a step have none."""
    entries = optimizer.state_dict()["state"]
    return {
        f"{names[number]}.{moment}": torch.as_tensor(entry[moment])
        for number, entry in entries.items()
        for moment in _MOMENTS
        if moment in entry
    }


def restore_optimizer(
    optimizer: Optimizer, names: Sequence[str], tensors: Mapping[str, Tensor]
) -> None:
    """Put `optimizer_tensors` back; the parameter groups stay as they are."""
    document = optimizer.state_dict()
    entries = (
        {m: tensors[f"{name}.{m}"] for m in _MOMENTS if f"{name}.{m}" in tensors} for name in names
    )
    document["state"] = {number: entry for number, entry in enumerate(entries) if entry}
    optimizer.load_state_dict(document)


def sync_file(path: Path) -> None:
    """Wait until the file's bytes are on disk, so that a rename never outruns them."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone().contiguous()


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
