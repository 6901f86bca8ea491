"""safetensors files read and written one tensor at a time, always with the same bytes.

The stock writer wants all tensors at once and shuffles metadata; a UNet of gigabytes should
neither be held in memory nor differ between two runs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from mos_protocol.errors import InvalidRequest
from safetensors import SafetensorError, safe_open
from torch import Tensor

# In the order in which the stock writer lays dtypes out, widest first.
_NAMES: dict[torch.dtype, str] = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ORDER = {dtype: place for place, dtype in enumerate(_NAMES)}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


@dataclass(frozen=True)
class Spec:
    """A tensor before it is written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * prod(self.shape)


class StoredTensors:
    """The tensors of one component, from one file or several, each read when it is asked for."""

    def __init__(self, files: Mapping[str, Any]) -> None:
        self._files = files

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def spec(self, name: str) -> Spec:
        """Dtype and shape, from the header alone."""
        view = self._files[name].get_slice(name)
        if view.get_dtype() not in _DTYPES:
            raise InvalidRequest(f"The base's tensor {name} is of type {view.get_dtype()}.")
        return Spec(_DTYPES[view.get_dtype()], tuple(view.get_shape()))


@contextmanager
def open_tensors(*paths: Path) -> Iterator[StoredTensors]:
    """Open safetensors files as one; raise `InvalidRequest` when one can't be read."""
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for path in paths:
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise InvalidRequest(f"{path} can't be read: {error}") from error
            files.update(dict.fromkeys(file.keys(), file))
        yield StoredTensors(files)


def read_metadata(path: Path) -> dict[str, str]:
    """The string pairs in a file's header."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def write_tensors(
    path: Path,
    specs: Mapping[str, Spec],
    tensor: Callable[[str], Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file, asking `tensor` for one tensor after the other.

    They are laid out as the stock writer does it: by dtype, then by name. Raises
    `ValueError` when a tensor is not what its spec says.
    """
    names = sorted(specs, key=lambda name: (_ORDER[specs[name].dtype], name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    position = 0
    for name in names:
        spec = specs[name]
        header[name] = {
            "dtype": _NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [position, position + spec.nbytes],
        }
        position += spec.nbytes
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name in names:
            value = tensor(name)
            if (value.dtype, tuple(value.shape)) != (specs[name].dtype, specs[name].shape):
                raise ValueError(f"{name} is {value.dtype} {tuple(value.shape)}: {specs[name]}")
            file.write(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def write_all(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors that are in memory already."""
    specs = {name: Spec(value.dtype, tuple(value.shape)) for name, value in tensors.items()}
    write_tensors(path, specs, tensors.__getitem__, metadata)
