"""Moments files: second moments of layer inputs, all that fusion needs of what a client saw.

For every distinct layer input, G = (1/n) Σ x xᵀ over the n tokens x that passed. A file may hold
the tokens themselves instead, which are reduced when they are read.
Legend: d width, n tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mos_protocol.errors import InvalidPackage
from mos_protocol.moments import (
    CODED,
    MAX_ABS_MOMENT,
    MOMENTS_FORMAT,
    RAW,
    largest_factor,
    moments_path,
)
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mos_diffusion.coded_moment import CodedMoment, decode_moment
from mos_diffusion.moment_coding import encode_moment
from mos_diffusion.recorder import Moments, Recorder, record_moments

__all__ = [
    "ACCURACY",
    "Moments",
    "Recorder",
    "StoredMoments",
    "open_moments",
    "read_moments",
    "record_moments",
    "reduce_file",
    "write_activations",
    "write_block",
    "write_moments",
]

ACCURACY = 2e-4
"""What coding may cost: the loss that `moment_coding` defines."""
_CHUNK = 4096


class StoredMoments:
    """The moments of one open file, decoded one at a time when they are read.

    Different inputs may be read from several threads.
    """

    def __init__(self, file: Any, label: str) -> None:
        self._file = file
        self._label = label
        self._parts: dict[str, set[str]] = {}
        for tensor in file.keys():  # noqa: SIM118
            name, _, part = tensor.rpartition(".")
            self._parts.setdefault(name, set()).add(part)
        for name, parts in self._parts.items():
            if parts not in ({RAW}, set(CODED)):
                raise InvalidPackage(label, f"{name[:200]!r} is no complete moment")

    def names(self) -> list[str]:
        """The inputs whose moments the file holds."""
        return sorted(self._parts)

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def read(self, name: str) -> torch.Tensor:
        """The moment (d, d) fp64 of an input.

        Raises `KeyError` for an input that is not in the file, `InvalidPackage` for damage.
        """
        if RAW in self._parts[name]:
            return self._reduced(f"{name}.{RAW}")
        arrays = {part: self._file.get_tensor(f"{name}.{part}") for part in CODED}
        try:
            matrix = decode_moment(_coded(arrays))
        except ValueError as error:
            raise InvalidPackage(self._label, f"the moment of {name}: {error}") from None
        return self._bounded(name, matrix)

    def _reduced(self, tensor: str) -> torch.Tensor:
        """The mean of x xᵀ over the stored tokens: products in fp32, summed in fp64."""
        rows = self._file.get_slice(tensor)
        shape = rows.get_shape()
        if len(shape) != 2 or not shape[0]:
            raise InvalidPackage(self._label, f"tensor {tensor!r} has shape {tuple(shape)}")
        total = torch.zeros(shape[1], shape[1], dtype=torch.float64)
        for start in range(0, shape[0], _CHUNK):
            chunk = rows[start : start + _CHUNK].float()
            total += chunk.T @ chunk
        return self._bounded(tensor, (total + total.T) / (2 * shape[0]))

    def _bounded(self, name: str, matrix: torch.Tensor) -> torch.Tensor:
        least, most = (float(bound) for bound in matrix.aminmax())
        # Written so that NaN fails it too.
        if not (least >= -MAX_ABS_MOMENT and most <= MAX_ABS_MOMENT):
            raise InvalidPackage(
                self._label, f"the moment of {name} has a value beyond {MAX_ABS_MOMENT:g}"
            )
        return matrix


@contextmanager
def open_moments(path: Path) -> Iterator[StoredMoments]:
    """Open one block's moments file; raise `InvalidPackage` when it is none."""
    try:
        opened = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InvalidPackage(path.name, f"can't be read: {error}") from error
    with opened as file:
        kind = (file.metadata() or {}).get("format")
        if kind != MOMENTS_FORMAT:
            raise InvalidPackage(path.name, f"format {kind!r}; expected {MOMENTS_FORMAT!r}")
        yield StoredMoments(file, path.name)


def read_moments(path: Path) -> dict[str, torch.Tensor]:
    """Read one block's file: input name → (d, d) fp64; raise `InvalidPackage` when it is none."""
    with open_moments(path) as stored:
        return {name: stored.read(name) for name in stored.names()}


def write_moments(moments: Moments, folder: Path, accuracy: float = ACCURACY) -> list[Path]:
    """Write `<folder>/moments/<block>.safetensors` per block; return the paths.

    What coding may cost is `accuracy` (see `moment_coding`). Raises `ValueError` for a matrix
    that is no moment.
    """
    paths = []
    for block, matrices in moments.items():
        paths.append(folder / moments_path(block))
        write_block(matrices, paths[-1], accuracy)
    return paths


def write_activations(activations: Moments, folder: Path) -> list[Path]:
    """Write tokens (n, d) fp16 to `<folder>/moments/<block>.safetensors`; return the paths."""
    paths = []
    for block, rows in activations.items():
        path = folder / moments_path(block)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {f"{name}.{RAW}": tokens.contiguous() for name, tokens in rows.items()}
        save_file(tensors, path, metadata={"format": MOMENTS_FORMAT})
        paths.append(path)
    return paths


def write_block(
    matrices: Mapping[str, torch.Tensor], path: Path, accuracy: float = ACCURACY
) -> None:
    """Write the moments (d, d) of one block's inputs, coded, to `path`."""
    tensors: dict[str, torch.Tensor] = {}
    for name, matrix in matrices.items():
        try:
            coded = _encoded(matrix, accuracy)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        tensors |= {f"{name}.{part}": array for part, array in _arrays(coded).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": MOMENTS_FORMAT})


def reduce_file(path: Path, out: Path, accuracy: float = ACCURACY) -> Path:
    """Write a file's moments, coded, to `out`, whatever it holds; return `out`.

    Raises `InvalidPackage` when `path` is no moments file.
    """
    with open_moments(path) as stored:
        write_block(_Reading(stored), out, accuracy)
    return out


class _Reading(Mapping[str, torch.Tensor]):
    """Stored moments as a mapping that reads one at a time."""

    def __init__(self, stored: StoredMoments) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._stored.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.names())

    def __len__(self) -> int:
        return len(self._stored.names())


def _encoded(matrix: torch.Tensor, accuracy: float) -> CodedMoment:
    if float(matrix.abs().max()) > MAX_ABS_MOMENT:
        raise ValueError(f"a moment has a value beyond {MAX_ABS_MOMENT:g}")
    return encode_moment(matrix, accuracy)


def _coded(arrays: dict[str, torch.Tensor]) -> CodedMoment:
    """The arrays of a file as a coded moment; raises `ValueError` when they don't fit together."""
    floats = [arrays[part] for part in ("factor_scale", "diagonal", "scale")]
    streams = [arrays["factor"], arrays["residual"]]
    if any(array.dtype != torch.float32 or array.ndim != 1 for array in floats) or any(
        array.dtype != torch.uint8 or array.ndim != 1 for array in streams
    ):
        raise ValueError("an array has the wrong type")
    width, columns = len(arrays["scale"]), len(arrays["factor_scale"])
    if len(arrays["diagonal"]) != width or columns > largest_factor(width):
        raise ValueError("the arrays' lengths contradict each other")
    return CodedMoment(
        factor=arrays["factor"].numpy().tobytes(),
        factor_scale=arrays["factor_scale"],
        diagonal=arrays["diagonal"],
        scale=arrays["scale"],
        residual=arrays["residual"].numpy().tobytes(),
    )


def _arrays(coded: CodedMoment) -> dict[str, torch.Tensor]:
    return {
        "factor": _bytes(coded.factor),
        "factor_scale": coded.factor_scale,
        "diagonal": coded.diagonal,
        "scale": coded.scale,
        "residual": _bytes(coded.residual),
    }


def _bytes(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
