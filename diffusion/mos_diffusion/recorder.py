"""Recording what layers read while the model runs: second moments, or the inputs themselves.

Legend: d width, n tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mos_protocol.layer_map import Block, LayerMap
from mos_protocol.moments import MAX_ABS_ACTIVATION, MAX_ACTIVATIONS

from mos_diffusion.adapters import recorded_blocks
from mos_diffusion.base_model import BaseModel, find_layer
from mos_diffusion.layer_names import input_rows

Moments = dict[str, dict[str, torch.Tensor]]
"""Block name → input name → (d, d) fp64."""

# Sums of so many products lose next to nothing in fp32; then they move to fp64.
_FOLD_EVERY = 64
# Narrow bands save half of a product, wide ones launch fewer kernels.
_BANDS = {"cpu": 160}
_WIDE_BAND = 640
_ROWS = 1 << 14


class Recorder:
    """Running sums Σ x xᵀ and token counts, per layer input.

    Products are summed in fp32 where the model runs, in place and above the diagonal only, and
    now and then in fp64 on the CPU. Memory is that of the sums, however much is recorded.
    """

    def __init__(self, parts: Sequence[Block]) -> None:
        self._blocks = parts
        self._sums: dict[str, torch.Tensor] = {}
        self._totals: dict[str, torch.Tensor] = {}
        self._calls: dict[str, int] = {}
        self.counts: dict[str, int] = {}

    @torch.no_grad()
    def add(self, name: str, rows: torch.Tensor) -> None:
        """Count tokens (…, d) of the input `name`."""
        x = rows.detach().flatten(0, -2)
        width = x.shape[1]
        if name not in self._sums:
            self._sums[name] = torch.zeros(width, width, dtype=torch.float32, device=x.device)
        halves = x.dtype in (torch.float16, torch.bfloat16)
        with torch.autocast(x.device.type, enabled=False), _tensor_cores(halves):
            for piece in torch.split(x, _ROWS):
                _add_products(self._sums[name], piece.float())
        self.counts[name] = self.counts.get(name, 0) + len(x)
        self._calls[name] = self._calls.get(name, 0) + 1
        if self._calls[name] % _FOLD_EVERY == 0:
            self._totals[name] = self._total(name)
            self._sums[name].zero_()

    def moments(self) -> Moments:
        """The mean moment per token of everything recorded, on the CPU.

        Raises `ValueError` naming an input that saw nothing.
        """
        self._check_complete()
        return {
            block.name: {item.name: self._mean(item.name) for item in block.inputs}
            for block in self._blocks
        }

    def _check_complete(self) -> None:
        names = [item.name for block in self._blocks for item in block.inputs]
        missing = [name for name in names if not self.counts.get(name)]
        if missing:
            raise ValueError(f"{len(missing)} inputs saw no token, the first is {missing[0]}")

    def _mean(self, name: str) -> torch.Tensor:
        upper = self._total(name).triu_()
        upper /= self.counts[name]
        return upper + upper.triu(1).T

    def _total(self, name: str) -> torch.Tensor:
        """Everything summed so far, in fp64 and above the diagonal."""
        latest = self._sums[name].cpu().double()
        return latest + self._totals[name] if name in self._totals else latest


class ActivationRecorder(Recorder):
    """Keeps the inputs themselves, in float16 on the CPU, instead of summing products.

    Of more than `most` tokens, as many are kept as an even thinning by a power of two leaves.
    """

    def __init__(self, parts: Sequence[Block], most: int = MAX_ACTIVATIONS) -> None:
        super().__init__(parts)
        self._most = most
        self._rows: dict[str, list[torch.Tensor]] = {}
        self._strides: dict[str, int] = {}

    @torch.no_grad()
    def add(self, name: str, rows: torch.Tensor) -> None:
        """Keep tokens (…, d) of the input `name`; raises `ValueError` beyond what is allowed."""
        x = rows.detach().flatten(0, -2)
        if not float(x.abs().max()) <= MAX_ABS_ACTIVATION:
            raise ValueError(
                f"{name} has an input beyond {MAX_ABS_ACTIVATION:g}; record moments instead"
            )
        seen, stride = self.counts.get(name, 0), self._strides.setdefault(name, 1)
        kept = self._rows.setdefault(name, [])
        kept.append(x[-seen % stride :: stride].to("cpu", torch.float16))
        self.counts[name] = seen + len(x)
        while sum(len(piece) for piece in kept) > self._most:
            kept[:] = [torch.cat(kept)[::2].clone()]
            self._strides[name] *= 2

    def activations(self) -> Moments:
        """Block name → input name → tokens (n, d) fp16; raises `ValueError` as `moments` does."""
        self._check_complete()
        return {
            block.name: {item.name: torch.cat(self._rows[item.name]) for item in block.inputs}
            for block in self._blocks
        }

    def _mean(self, name: str) -> torch.Tensor:
        return mean_moment(torch.cat(self._rows[name]))


def mean_moment(rows: torch.Tensor) -> torch.Tensor:
    """(1/n) Σ x xᵀ of tokens (n, d), n > 0: (d, d) fp64. Products in fp32, summed in fp64."""
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for piece in torch.split(rows, _ROWS // 4):
        values = piece.float()
        total += values.T @ values
    return (total + total.T) / (2 * len(rows))


@contextmanager
def record_moments(
    base: BaseModel,
    layers: LayerMap | None = None,
    *,
    only: Collection[str] | None = None,
    recorder: Recorder | None = None,
) -> Iterator[Recorder]:
    """Record every layer input (or those named in `only`) of what runs inside the block.

    The hooks are removed at the end, whatever happens. Give a recorder to go on with it.
    """
    parts = recorded_blocks(base, layers)
    recorder = recorder or Recorder(parts)
    first_layers: dict[str, str] = {}
    for block in parts:
        for layer in block.layers:
            first_layers.setdefault(layer.input, layer.name)
    hooks = []
    try:
        for name, layer_name in first_layers.items():
            if only is None or name in only:
                module = find_layer(base, layer_name)
                hooks.append(module.register_forward_pre_hook(partial(_record, recorder, name)))
        yield recorder
    finally:
        for hook in hooks:
            hook.remove()


def _record(recorder: Recorder, name: str, module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
    recorder.add(name, input_rows(module, inputs[0]))


def _add_products(sums: torch.Tensor, x: torch.Tensor) -> None:
    """Add xᵀ x to what is above the diagonal of the sums (d, d), and some of what is below."""
    step = _BANDS.get(x.device.type, _WIDE_BAND)
    for start in range(0, len(sums), step):
        band = slice(start, start + step)
        sums[band, start:].addmm_(x[:, band].T, x[:, start:])


@contextmanager
def _tensor_cores(used: bool) -> Iterator[None]:
    """Let a GPU multiply on its tensor cores, or not: TF32 holds halves exactly, and only them."""
    matmul = torch.backends.cuda.matmul
    # Torch before 2.9 has only the switch, and later ones refuse to mix the two.
    setting = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
    before = getattr(matmul, setting)
    choices = ("tf32", "ieee") if setting == "fp32_precision" else (True, False)
    setattr(matmul, setting, choices[0] if used else choices[1])
    try:
        yield
    finally:
        setattr(matmul, setting, before)
