"""The device and the mixed precision of a run, through accelerate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from mos_protocol.errors import InvalidRequest

from mos_client.tuning.settings import MixedPrecision, TuningSettings

_DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """Where and in which precision a run computes; what is trained is fp32 in any case."""

    accelerator: Accelerator
    device: torch.device
    precision: MixedPrecision

    @property
    def dtype(self) -> torch.dtype:
        """The type of the frozen weights."""
        return _DTYPES[self.precision]


def choose_machine(settings: TuningSettings) -> Machine:
    """The settings' device and precision, or the best there is; raise `InvalidRequest`."""
    device = choose_device(settings.device)
    precision = settings.mixed_precision or _best_precision(device)
    if precision == "fp16" and device.type != "cuda":
        raise InvalidRequest(
            f"fp16 tuning needs a CUDA device, not {device.type}.", hint="Use bf16 or none."
        )
    # accelerate keeps its first settings for the whole process; another run may have others.
    AcceleratorState._reset_state(not torch.distributed.is_initialized())
    accelerator = Accelerator(
        mixed_precision=precision, cpu=device.type == "cpu", device_placement=False
    )
    if settings.batch_size % accelerator.num_processes:
        raise InvalidRequest(
            f"A batch of {settings.batch_size} can't be shared by {accelerator.num_processes} "
            "processes.",
            hint="Make the batch a multiple of the number of processes.",
        )
    if settings.device is None:
        device = accelerator.device
    return Machine(accelerator, device, precision)


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name, else the first GPU, else the CPU; raise `InvalidRequest`."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidRequest(f"{name!r} is no device.", hint="Use cpu, cuda or cuda:1.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidRequest(f"There is no CUDA device for {name!r}.", hint="Use cpu.")
    return device


def _best_precision(device: torch.device) -> MixedPrecision:
    if device.type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
