"""Second moments of layer inputs: all that fusion needs of what a client saw.

For every distinct layer input, G = (1/n) Σ x xᵀ over the n tokens x that passed; several layers
may share one input, which is then recorded once. Legend: d width, n tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import Block, LayerMap
from mos_protocol.tensors import moments_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mos_diffusion.base_model import BaseModel, blocks, find_layer

FORMAT = "mos-moments/1"
Moments = dict[str, dict[str, torch.Tensor]]
"""Block name → input name → (d, d) fp64."""


class Recorder:
    """Running sums Σ x xᵀ and token counts, per layer input.

    Products of one batch are taken in `dtype`; batches are summed in fp64 (on devices that have
    it).
    """

    def __init__(self, parts: Sequence[Block], dtype: torch.dtype = torch.float32) -> None:
        self._blocks = parts
        self._dtype = dtype
        self._sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    @torch.no_grad()
    def add(self, name: str, rows: torch.Tensor) -> None:
        """Count tokens (…, d) of the input `name`."""
        x = rows.detach().flatten(0, -2)
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self._dtype)
            product = x.T @ x
        # Apple's device has no fp64.
        total = product if product.device.type == "mps" else product.double()
        if name in self._sums:
            self._sums[name] += total
            self.counts[name] += len(x)
        else:
            self._sums[name] = total
            self.counts[name] = len(x)

    def moments(self) -> Moments:
        """The mean moment per token of everything recorded, on the CPU.

        Raises `ValueError` naming an input that saw nothing.
        """
        names = [item.name for block in self._blocks for item in block.inputs]
        missing = [name for name in names if not self.counts.get(name)]
        if missing:
            raise ValueError(f"{len(missing)} inputs saw no token, the first is {missing[0]}")
        means = {name: self._sums[name].cpu().double() / self.counts[name] for name in names}
        return {
            block.name: {
                item.name: (means[item.name] + means[item.name].T) / 2 for item in block.inputs
            }
            for block in self._blocks
        }


@contextmanager
def record_moments(
    base: BaseModel,
    layers: LayerMap | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    only: Collection[str] | None = None,
    recorder: Recorder | None = None,
) -> Iterator[Recorder]:
    """Record every layer input (or those named in `only`) of what runs inside the block.

    The hooks are removed at the end, whatever happens. Give a recorder to go on with it.
    """
    parts = blocks(base) if layers is None else layers.blocks
    recorder = recorder or Recorder(parts, dtype)
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


def write_moments(moments: Moments, folder: Path) -> list[Path]:
    """Write `<folder>/moments/<block>.safetensors` per block, fp32; return the paths."""
    paths = []
    for block, matrices in moments.items():
        path = folder / moments_path(block)
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = {name: pack_triangle(matrix).float() for name, matrix in matrices.items()}
        save_file(packed, path, metadata={"format": FORMAT})
        paths.append(path)
    return paths


def read_moments(path: Path) -> dict[str, torch.Tensor]:
    """Read one block's file: input name → (d, d) fp64; raise `InvalidPackage` when it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            kind = (file.metadata() or {}).get("format")
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InvalidPackage(path.name, f"can't be read: {error}") from error
    if kind != FORMAT:
        raise InvalidPackage(path.name, f"format {kind!r}; expected {FORMAT!r}")
    return {name: unpack_triangle(values) for name, values in packed.items()}


def pack_triangle(matrix: torch.Tensor) -> torch.Tensor:
    """A symmetric (d, d) → its upper triangle, row by row, (d(d+1)/2,)."""
    rows, columns = np.triu_indices(len(matrix))
    return matrix[torch.from_numpy(rows), torch.from_numpy(columns)]


def unpack_triangle(packed: torch.Tensor) -> torch.Tensor:
    """(d(d+1)/2,) → the symmetric (d, d) in fp64; raise `ValueError` for another length."""
    width = int((np.sqrt(8 * len(packed) + 1) - 1) / 2)
    if width * (width + 1) // 2 != len(packed):
        raise ValueError(f"{len(packed)} numbers are no upper triangle")
    rows, columns = (torch.from_numpy(index) for index in np.triu_indices(width))
    matrix = torch.zeros(width, width, dtype=torch.float64)
    matrix[rows, columns] = packed.double()
    matrix[columns, rows] = packed.double()
    return matrix


def _record(recorder: Recorder, name: str, module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
    recorder.add(name, inputs[0])
