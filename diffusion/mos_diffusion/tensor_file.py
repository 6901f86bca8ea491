"""safetensors files read and written one tensor at a time, always with the same bytes.

The stock writer wants all tensors at once and shuffles metadata; a UNet of gigabytes should
neither be held in memory nor differ between two runs.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
# As long as the hash that takes its place once the data is written.
_NO_HASH = "0x" + 64 * "0"
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


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies: `begin` is in bytes from the start of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int


class StoredTensors:
    """The tensors of one component, from one file or several, each read when it is asked for.

    They are read, not mapped: a mapped file counts as memory until the system takes it back.
    """

    def __init__(self, places: Mapping[str, _Place]) -> None:
        self._places = places

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._places))

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Tensor:
        spec, place = self.spec(name), self._places[name]
        data = torch.empty(spec.nbytes, dtype=torch.uint8)
        # A handle of its own: threads may read different tensors at once.
        with place.file.open("rb") as file:
            file.seek(place.begin)
            if file.readinto(data.numpy().data) != spec.nbytes:
                raise InvalidRequest(f"{place.file} was cut short while it was read.")
        return data.view(spec.dtype).reshape(spec.shape)

    def spec(self, name: str) -> Spec:
        """Dtype and shape, from the header alone."""
        place = self._places[name]
        if place.dtype not in _DTYPES:
            raise InvalidRequest(
                f"The tensor {name} in {place.file} is of type {place.dtype}.",
                hint="Convert it to float32, float16 or bfloat16.",
            )
        return Spec(_DTYPES[place.dtype], place.shape)


@contextmanager
def open_tensors(*paths: Path) -> Iterator[StoredTensors]:
    """Open safetensors files as one; raise `InvalidRequest` when one can't be read."""
    places: dict[str, _Place] = {}
    for path in paths:
        try:
            places.update(_places(path))
        except (SafetensorError, OSError) as error:
            raise InvalidRequest(f"{path} can't be read: {error}") from error
    yield StoredTensors(places)


def _places(path: Path) -> dict[str, _Place]:
    """What the header of a file says, once the stock reader has found it sound."""
    with safe_open(path, framework="pt"):
        pass
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {
        name: _Place(
            path, item["dtype"], tuple(item["shape"]), 8 + length + item["data_offsets"][0]
        )
        for name, item in header.items()
    }


def read_metadata(path: Path) -> dict[str, str]:
    """The string pairs in a file's header."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def write_tensors(
    path: Path,
    specs: Mapping[str, Spec],
    tensor: Callable[[str], Tensor],
    metadata: Mapping[str, str],
    hash_key: str | None = None,
) -> None:
    """Write a safetensors file, asking `tensor` for one tensor after the other.

    They are laid out as the stock writer does it: by dtype, then by name. With a `hash_key` the
    metadata says under it what the sha256 of all that follows the header is. Raises `ValueError`
    when a tensor is not what its spec says.
    """
    names = sorted(specs, key=lambda name: (_ORDER[specs[name].dtype], name))
    if hash_key is not None:
        metadata = {**metadata, hash_key: _NO_HASH}
    start = _encoded_header(names, specs, metadata)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        file.write(start)
        for name in names:
            value = tensor(name)
            if (value.dtype, tuple(value.shape)) != (specs[name].dtype, specs[name].shape):
                raise ValueError(f"{name} is {value.dtype} {tuple(value.shape)}: {specs[name]}")
            data = value.contiguous().reshape(-1).view(torch.uint8).numpy().data
            file.write(data)
            if hash_key is not None:
                digest.update(data)
        if hash_key is not None:
            file.seek(0)
            found = {**metadata, hash_key: f"0x{digest.hexdigest()}"}
            file.write(_encoded_header(names, specs, found))


def _encoded_header(
    names: Sequence[str], specs: Mapping[str, Spec], metadata: Mapping[str, str]
) -> bytes:
    """The header's length and the header, padded so that the data is aligned."""
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
    return struct.pack("<Q", len(encoded)) + encoded


def write_all(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors that are in memory already."""
    specs = {name: Spec(value.dtype, tuple(value.shape)) for name, value in tensors.items()}
    write_tensors(path, specs, tensors.__getitem__, metadata)
