"""What recording second moments adds to the forward passes it rides on.

The architecture of Stable Diffusion 1.5 with random weights runs with and without the recorder's
hooks, in turn, on the same noise; on a CPU its processor time counts, which other programs on the
machine hardly disturb.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from architectures import ARCHITECTURES, Architecture
from diffusers import UNet2DConditionModel
from measuring import megabytes, table, write_json
from mos_center.fusion.parallel import compute_device
from mos_diffusion.base_model import BaseModel
from mos_diffusion.layer_names import attention_blocks
from mos_diffusion.recorder import Recorder, record_moments
from mos_protocol.layer_map import Block

Figures = dict[str, Any]
_TOKENS = 77
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the comparison as a markdown section."""
    parser = argparse.ArgumentParser(description="Recording against forward passes alone.")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), default="sd15")
    parser.add_argument("--latent-size", type=int, default=32, help="64 is a picture of 512 pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="forward passes of each kind")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--quick", action="store_true", help="a tiny model, to see that it runs")
    given = parser.parse_args(argv)
    arch = "tiny" if given.quick else given.arch
    size, steps = (8, 2) if given.quick else (given.latent_size, given.steps)
    result = measure(arch, size, given.batch, steps, DTYPES[given.dtype], compute_device())
    print(section(result))
    write_json(given.json, result)


def measure(
    arch: str, size: int, batch: int, steps: int, dtype: torch.dtype, device: torch.device
) -> Figures:
    """Seconds of a forward pass of the UNet alone and of one that is recorded."""
    base = random_model(ARCHITECTURES[arch], dtype, device)
    blocks = attention_blocks({}, base.unet)
    names = {item.name for block in blocks for item in block.inputs}
    recorder = TimedRecorder(blocks)
    alone, recorded = [], []
    # The first of each only fetches memory and chooses kernels.
    for step in range(steps + 1):
        noise = torch.randn(batch, 4, size, size, generator=torch.Generator().manual_seed(step))
        plain = seconds_of(base.unet, noise)
        with record_moments(base, only=names, recorder=recorder):
            hooked = seconds_of(base.unet, noise)
        if step:
            alone.append(plain)
            recorded.append(hooked)
        else:
            recorder.seconds = 0.0
    started = time.perf_counter()
    recorder.moments()
    return {
        "arch": arch,
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "latent_size": size,
        "batch": batch,
        "steps": steps,
        "inputs": len(recorder.counts),
        "memory_bytes": sum(4 * item.width**2 for block in blocks for item in block.inputs),
        "forward_seconds": min(alone),
        "recorded_seconds": min(recorded),
        "overhead": min(recorded) / min(alone) - 1,
        "own_share": recorder.seconds / (sum(recorded) - recorder.seconds),
        "finish_seconds": time.perf_counter() - started,
    }


class TimedRecorder(Recorder):
    """Also adds up the seconds it takes itself; of a GPU only those that keep the CPU."""

    def __init__(self, parts: Sequence[Block]) -> None:
        super().__init__(parts)
        self.seconds = 0.0

    def add(self, name: str, rows: torch.Tensor) -> None:
        started = time.process_time()
        super().add(name, rows)
        self.seconds += time.process_time() - started


def random_model(architecture: Architecture, dtype: torch.dtype, device: torch.device) -> BaseModel:
    """The architecture's UNet with random weights; of its text encoder only the names."""
    names = architecture.modules()
    with torch.device(device):
        unet = UNet2DConditionModel(**architecture.unet).to(dtype).eval()
    return BaseModel(None, names["text_encoder"], None, unet, None)


@torch.no_grad()
def seconds_of(unet: UNet2DConditionModel, noise: torch.Tensor) -> float:
    """Seconds of one forward pass; on the CPU those of the processor, not of the clock."""
    states = torch.randn(len(noise), _TOKENS, unet.config.cross_attention_dim)
    arguments = [value.to(unet.device, unet.dtype) for value in (noise, states)]
    _wait(unet.device)
    clock = time.process_time if unet.device.type == "cpu" else time.perf_counter
    started = clock()
    unet(arguments[0], 500, arguments[1])
    _wait(unet.device)
    return clock() - started


def section(result: Figures) -> str:
    """The figures as markdown."""
    row = (
        f"{result['arch']}, {result['latent_size']}², batch {result['batch']}, {result['dtype']}",
        result["device"],
        f"{result['forward_seconds']:.3f}",
        f"{result['recorded_seconds']:.3f}",
        f"{100 * result['overhead']:.1f}",
        f"{100 * result['own_share']:.1f}",
        megabytes(result["memory_bytes"]),
    )
    head = ["UNet", "device", "forward (s)", "recorded (s)", "more (%)", "hooks (%)", "sums (MB)"]
    return "\n\n".join(
        [
            "## Recording moments",
            f"The fastest of {result['steps']} forward passes of a UNet with random weights, with "
            f"and without recording its {result['inputs']} layer inputs, in turn. Hooks: the "
            "recorder's own seconds, relative to the rest of the same passes.",
            table(head, [row]),
        ]
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
